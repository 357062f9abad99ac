"""HTTP clients of the GPU clouds and the one provisioning algorithm. Imports no Pulumi."""
