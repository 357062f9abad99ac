"""Asks the server of a copy whether it is well: the probe of every pod of a copy on several nodes.

Only the first pod has a server. The others are well while it is: once it is not, all start anew together, for
what one has lost of the others is never found again. Runs in vLLM's image: Python's own library alone.
"""

from __future__ import annotations

import os
import sys
import urllib.request


def main() -> int:
    """0 if it answers."""
    url = f"http://{os.environ['LEADER']}:{os.environ['PORT']}/health"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
