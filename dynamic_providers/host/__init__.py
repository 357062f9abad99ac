"""Our own host for `pulumi.dynamic`."""
