"""The real peers of the SkyPilot tests: a Slurm cluster with fake GPUs and the real API server."""
