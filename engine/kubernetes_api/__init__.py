"""A real Kubernetes API on this machine, for tests: no containers, no root, nothing outside 127.0.0.1.

The API server, controller manager and scheduler are Kubernetes' own, built once from its Go module; etcd
keeps their objects, and KWOK plays the kubelets: pods become Ready and Jobs end, but no container ever runs.

- `programs`: builds and fetches the programs into the cache.
- `cluster`: `start(folder)`, `stop(folder)`, `find(folder)`.
- `nodes`: fake nodes with GPUs.
- `commands`: `python -m engine kubernetes up | down | status | kubeconfig`.
"""
