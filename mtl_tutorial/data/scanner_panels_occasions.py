"""The shape of the scanner panels: rows make purchases, purchases make households, and both can be shuffled.

A *purchase* (an occasion) is one row per brand of its category, in the codebook's order, one of them bought. The
functions here expect rows sorted as in the file: by category, household, occasion and brand.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.scanner_panels_columns import BRANDS


def household_number(frame: pd.DataFrame) -> np.ndarray:
    """Return each row's household, numbered 0, 1, 2, … over all categories, [N] int64: none is known in two."""
    return _count_changes(frame, "category", "household")


def purchase_number(frame: pd.DataFrame) -> np.ndarray:
    """Return each row's purchase, numbered 0, 1, 2, … over all households, [N] int64."""
    return _count_changes(frame, "category", "household", "occasion")


def shuffle_purchases(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Put each household's purchases in a random order; prices, advertising and choice of one stay together.

    Args:
        frame: sorted rows [N]; may hold more columns than the file.
        seed: of the permutations.

    Returns:
        The same rows, sorted by their new occasion number: 0, 1, 2, … within the household.
    """
    purchase = purchase_number(frame)                                                   # [N]
    draw = np.random.default_rng(seed).random(purchase[-1] + 1)[purchase]               # [N]
    order = np.lexsort((draw, household_number(frame)))         # stable, so brands keep their places on the shelf
    return frame.iloc[order].assign(occasion=frame["occasion"].to_numpy()).reset_index(drop=True)


def check_purchases(frame: pd.DataFrame, source: str) -> None:
    """Check what no column can show alone: rows are whole purchases, in order, with one brand bought in each.

    Args:
        frame: rows whose single columns have been checked against the codebook.
        source: the file's name, for messages.

    Raises:
        DataError: naming ``source``, the column and the first row that does not fit.
    """
    category = frame["category"].cat.codes.to_numpy(np.int64)
    sizes = np.array([len(brands) for brands in BRANDS.values()])                       # [C]
    size = sizes[category]
    place = frame["brand"].cat.codes.to_numpy() - (np.cumsum(sizes) - sizes)[category]  # on the category's shelf
    occasion, bought = frame["occasion"].to_numpy(np.int64), frame["bought"].to_numpy()
    household = category * 10_000 + frame["household"].to_numpy()
    first = place == 0
    place_before, size_before = _previous(place, 0), _previous(size, 1)
    household_before, occasion_before = _previous(household, household[0]), _previous(occasion, -1)
    whole = np.bincount(np.cumsum(first), weights=bought)[np.cumsum(first)] == 1
    complete = np.arange(len(frame)) < len(frame) - 1
    tests = {
        "brand": (place == np.where(place_before == size_before - 1, 0, place_before + 1))
                 & (place < size) & (complete | (place == size - 1)),
        "household": np.where(first, household >= household_before, household == household_before),
        "occasion": occasion == np.where(household == household_before, occasion_before + first, 0),
        "bought": whole,
    }
    problems = {
        "brand": "is not the next brand of its category, or its purchase is cut short",
        "household": "is out of order, or changes within a purchase",
        "occasion": "does not count 0, 1, 2, … within its household",
        "bought": "stands in a purchase that has not exactly one brand bought",
    }
    for column, fits in tests.items():
        if not fits.all():
            row = int(fits.argmin())
            [value] = frame[column].iloc[[row]].tolist()
            raise DataError(f"{source}: column {column!r}, row {row}: {value!r} {problems[column]}")


def _count_changes(frame: pd.DataFrame, *columns: str) -> np.ndarray:
    """Return, for each row, the number of changes in these columns up to it."""
    changed = np.zeros(len(frame), dtype=bool)
    for name in columns:
        values = frame[name].cat.codes if isinstance(frame[name].dtype, pd.CategoricalDtype) else frame[name]
        changed[1:] |= np.diff(values.to_numpy()) != 0
    return changed.cumsum()


def _previous(values: np.ndarray, first: int) -> np.ndarray:
    """Return each row's value in the row before; ``first`` for the first row."""
    return np.concatenate([[first], values[:-1]])
