"""The report of a preview: Markdown for a pull request. Pure; `gpuplane preview-report` reads and asks.

    preview = read_preview(text, state=exported, failed=code != 0)
    comment = render(preview)

The first line of a report is `marker(preview.stack)`: a comment that begins with it is the one to update.
"""

from cli.preview.document import Preview, read_preview
from cli.preview.report import LIMIT_BYTES, MARKER, marker, render

__all__ = ["LIMIT_BYTES", "MARKER", "Preview", "marker", "read_preview", "render"]
