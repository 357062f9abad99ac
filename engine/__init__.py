"""Puts a working Pulumi engine on this machine and says how to run it.

Standard library only: it also runs before anything is installed.
- `engine.installed`: `ensure()`, `locate()`, `require()`.
- `engine.environment`: `environment(project_dir)`, the variables to run `pulumi` with.
- `engine.skypilot_server`: `server_python()`, the Python of the real SkyPilot API server.
"""
