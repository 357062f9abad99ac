"""The `gpuplane` command, one file a command."""
