"""The steps that prepare Census-Income, one function each: a frame goes in, a new frame and a count come out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mtl_tutorial.data.census_columns import MISSING

AMOUNTS = ("wage_per_hour", "capital_gains", "capital_losses", "stock_dividends")


def name_missing(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Rename the source's ``?`` to a category ``missing`` of its own.

    Returns:
        The new frame, and the number of missing values of each column that has any.
    """
    marked = [name for name in frame.select_dtypes("category") if MISSING in frame[name].cat.categories]
    counts = pd.Series({name: int((frame[name] == MISSING).sum()) for name in marked})
    renamed = {name: frame[name].cat.rename_categories({MISSING: "missing"}) for name in marked}
    return frame.assign(**renamed), counts[counts > 0]


def compress_amounts(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Replace each amount of money x, zero for most persons and up to 99,999 for a few, by log(1 + x).

    Returns:
        The new frame, and the share of non-zero values of each amount.
    """
    amounts = frame[list(AMOUNTS)]
    return frame.assign(**np.log1p(amounts.astype(float))), (amounts > 0).mean()
