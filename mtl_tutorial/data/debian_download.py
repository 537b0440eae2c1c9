"""Fetch a Debian package as a source of data: by name, version and hash, unpacked and never installed."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.pinned import check_pinned


@contextmanager
def unpacked(package: str, sha256: str) -> Iterator[Path]:
    """Hold the files of a package in a folder that is deleted afterwards.

    Args:
        package: name and version as ``apt-get download`` takes them, e.g. ``"dataset-fashion-mnist=0.0-1"``.
        sha256: of the ``.deb`` file, in hexadecimal; a file with another hash is not unpacked.

    Raises:
        DataError: this is no Debian, apt could not download the package, or got a file with another hash.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _run(["apt-get", "download", "--quiet=2", package], scratch, f"apt could not download {package}")
        [archive] = Path(scratch).glob("*.deb")
        check_pinned(archive.read_bytes(), sha256, archive.name)
        root = Path(scratch) / "unpacked"
        _run(["dpkg-deb", "--extract", archive.name, root.name], scratch, f"{archive.name} could not be unpacked")
        yield root


def _run(command: list[str], folder: str, problem: str) -> None:
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        raise DataError(f"{problem}: this system has no {command[0]}; rebuild on Debian or Ubuntu") from None
    if result.returncode:
        raise DataError(f"{problem}: {result.stderr.strip()}")
