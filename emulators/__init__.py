"""Local stand-ins of the GPU clouds, with faults and a scaled clock. Shares no code with gpu_clouds."""
