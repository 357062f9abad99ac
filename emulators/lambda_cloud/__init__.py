"""An emulated Lambda: Cloud API v1, the machines that it rents, and faults seen in the real one."""
