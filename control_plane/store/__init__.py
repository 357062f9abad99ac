"""What outlives a process: tenants, keys, nodes, routes and the ledger, in SQLite or PostgreSQL."""
