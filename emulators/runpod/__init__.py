"""An emulated RunPod: REST v2, the proxy in front of pods, and the faults that have been seen in the real one."""
