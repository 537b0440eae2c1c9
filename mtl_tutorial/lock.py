"""A lock between processes, given back by the system when its holder ends, however it ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if os.name == "nt":
    import msvcrt

    def _lock(file: IO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def exclusive(path: Path, notice: str) -> Iterator[None]:
    """Hold the lock on a file, which stays behind; while another process holds it, say so once and wait."""
    with path.open("a") as file:
        said = False
        while True:
            try:
                _lock(file)
                break
            except OSError:
                if not said:
                    print(f"mtl_tutorial: {notice}", flush=True)
                    said = True
                time.sleep(0.2)
        yield
