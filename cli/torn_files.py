"""What a killed engine leaves half written in a backend of files.

The engine writes a state file in one step, but the small file of attributes beside it (`dev.json.attrs`) in
two: killed between them, that file is empty, and every later read of the state ends with `EOF`. Without it
the state is read as ever.
"""

from __future__ import annotations

from pathlib import Path

from cli.project import PROJECT


def remove_torn(backend: Path, stack: str) -> int:
    """Removes a stack's empty files of attributes; only while no engine works on it.

    Args:
        backend: Folder of the backend.
        stack: Name of the stack.

    Returns:
        How many there were.
    """
    name, root = stack.rsplit("/", 1)[-1], backend / ".pulumi"
    files = [
        *(root / "stacks" / PROJECT).glob(f"{name}.json*.attrs"),
        *(root / "history" / PROJECT / name).glob("*.attrs"),
        *(root / "backups" / PROJECT / name).glob("*.attrs"),
        *(root / "locks" / "organization" / PROJECT / name).glob("*.attrs"),
    ]
    torn = [file for file in files if file.stat().st_size == 0]
    for file in torn:
        file.unlink(missing_ok=True)
    return len(torn)
