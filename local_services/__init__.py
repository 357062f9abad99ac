"""Services that run on this machine: started, adopted, watched and ended. No Pulumi."""
