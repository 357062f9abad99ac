"""The control plane in the real engine."""
