"""An emulated Vast.ai, and faults seen in the real one."""
