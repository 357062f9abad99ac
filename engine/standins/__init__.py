"""Stand-ins for resource plugins, for machines where Pulumi's official ones cannot be had.

- `engine.standins.placing`: which plugin the engine finds: the official one wherever there is one.
- `engine.standins.launchers`: a folder for each package, with the program that the engine starts.
- `engine.standins.start`: what every launcher runs: `engine.standins.<name>.__main__.main(arguments)`.
- aws, gcp, azure_native: one plugin (`engine.standins.plugin`) with tables for each cloud. No cloud is behind
  them, and no run of theirs is proof that a cloud accepts anything; docs/stand-ins.md has their limits.
- kubernetes: a plugin of its own, with a real Kubernetes API behind it.

`placing` and what it imports use the standard library only: they run before anything is installed.
"""
