"""An emulated RunPod: REST v2, the proxy in front of pods, and faults seen in the real one."""
