"""The parts of GkeGpuCluster: rules, network, rights, node pools. They import pulumi_gcp when called."""
