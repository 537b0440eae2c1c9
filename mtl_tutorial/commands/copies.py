"""The learner's own copies of the lessons: made once, never overwritten."""

import hashlib
import json
import os
from pathlib import Path


def copy_lessons(shipped: Path, mine: Path) -> list[str]:
    """Copy the lessons that a learner does not have yet.

    What was shipped is remembered by its SHA-256 in ``.shipped.json``, so that a lesson that changed since it was
    copied can be named.

    Args:
        shipped: folder of the lessons as they come with the project.
        mine: folder of the learner, made if missing.

    Returns:
        Lines to print: what was copied, and which lessons have a newer version.
    """
    mine.mkdir(exist_ok=True)
    record = mine / ".shipped.json"
    known = _read(record)
    new, notices = [], []
    for source in sorted(shipped.glob("*.ipynb")):
        content, target = source.read_bytes(), mine / source.name
        digest = hashlib.sha256(content).hexdigest()
        if not target.exists():
            _write(target, content)
            known[source.name] = digest
            new.append(source.name)
        elif known.setdefault(source.name, digest) != digest:
            notices.append(
                f"lesson {source.name[:2]} has a newer version; to get it, rename yours "
                f"({mine.name}/{source.name}) and run this command again"
            )
    _write(record, json.dumps(known, indent=1).encode())
    return ([f"copied to {mine.name}/: {', '.join(new)}"] if new else []) + notices


def _read(record: Path) -> dict[str, str]:
    try:
        known = json.loads(record.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(target: Path, content: bytes) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(target)
