"""Our host for `pulumi.dynamic`: the plugin process that runs the dynamic providers of a program.

Providers use `call` (preview flag, time-out, cancel, progress), `results` (partial state, detailed diff) and
`fence.check`. docs/host.md says what the host gives and how it is wired.
"""
