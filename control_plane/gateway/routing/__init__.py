"""Which node gets a request: node table, breakers, prefix affinity, queue, probes."""
