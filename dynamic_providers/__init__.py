"""Pulumi dynamic providers: the thin skin between the engine and gpu_clouds."""
