"""The parts of AksGpuCluster: rules, network, agent pools. They import pulumi_azure_native when called."""
