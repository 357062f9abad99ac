"""The parts of EksGpuCluster: rules, network, rights, node groups. They import pulumi_aws when called."""
