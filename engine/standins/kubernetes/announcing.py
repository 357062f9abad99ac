"""What a run says in which the stand-in works."""

MESSAGE = (
    "gpuplane's STAND-IN for the Kubernetes plugin is at work, not the official plugin: its previews and "
    "results are no proof of what that one does (docs/stand-ins.md)"
)
