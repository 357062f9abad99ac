"""The objects of a SkyPilot API server on Kubernetes; nothing here imports the SDK before it declares."""
