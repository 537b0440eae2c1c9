"""Content from elsewhere is opened only if it is, to the bit, what this suite was written with."""

from __future__ import annotations

import hashlib

from mtl_tutorial.data.columns import DataError


def check_pinned(content: bytes, sha256: str, name: str) -> None:
    """Refuse content with another hash than the pinned one.

    Args:
        content: of a file, not yet unpacked or parsed.
        sha256: pinned, in hexadecimal.
        name: of the file, for the message.

    Raises:
        DataError: the hashes differ.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{name}: SHA-256 is {found}, but {sha256} is pinned; it is not opened")
