"""Household scanner panels: real brand choices of households in five supermarket categories.

27,163 purchases of catsup, crackers, ketchup, tuna and yogurt, with one row for each brand on the shelf: 122,357
rows. The category is the scenario, the household the group, *bought* the target. These are supermarket scanners,
not web logs, and no household is known in two categories. Two things in the rows give the label away
(:mod:`mtl_tutorial.data.scanner_panels_audit` finds them); by default neither reaches a table:

* Tuna and ketchup are sorted by the brand bought within a household, so that "bought last time" and "share of
  earlier purchases" look into the future. Each household's purchases are therefore shuffled, in every category,
  before its history is computed: history is then a profile of taste and says nothing about time. Only catsup,
  cracker and yogurt, in the order of the source, support a statement about time.
* Some price values stand almost only with the brand that was bought. Purchases that show one are dropped.

Reference: Jain, Vilcassim and Chintagunta 1994, A Random-Coefficients Logit Brand-Choice Model Applied to Panel
Data (catsup, cracker, yogurt); Kim, Blattberg and Rossi 1995, Modeling the Distribution of Price Sensitivity and
Implications for Optimal Retail Pricing (ketchup, tuna).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import torch

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.scanner_panels_audit import has_tell_tale_price
from mtl_tutorial.data.scanner_panels_columns import BRANDS, COLUMNS, MAKER_OF, MAKERS, NOT_RECORDED
from mtl_tutorial.data.scanner_panels_occasions import (
    check_purchases,
    household_number,
    purchase_number,
    shuffle_purchases,
)
from mtl_tutorial.data.table import Table

FILE = "scanner_panels.parquet"
FIELDS = ("brand", "maker", "category")
NUMERIC = ("relative_price", "cheapest", "display", "display_recorded", "feature", "feature_recorded",
           "loyalty", "bought_last_time", "log_earlier_purchases")


def read_scanner_panels() -> pd.DataFrame:
    """Return the raw rows, one per purchase and brand, in the order of the source.

    Returns:
        122,357 rows of the codebook's columns, sorted by category, household, occasion and brand.

    Raises:
        DataError: the file is missing, damaged, or differs from the codebook or from its hash, or its rows are
            not whole purchases of one brand each.
    """
    frame = files.read(FILE, COLUMNS)
    try:
        check_purchases(frame, FILE)
    except DataError as error:
        raise DataError(f"{error}; {files.REMEDY}") from None
    return frame


def scanner_panels_table(order: Literal["shuffled", "source"] = "shuffled", seed: int = 0,
                         tell_tale_prices: Literal["drop", "keep"] = "drop") -> Table:
    """Return all categories as one table; split it ``by_group`` so that no household is in two parts.

    Nothing is learned from the rows but which prices tell the choice, so there is nothing to fit on a training
    part. The arguments are those of :func:`prepare`.

    Returns:
        Fields ``brand`` [21 ids, each of one category], ``maker`` (what categories share: Heinz sells catsup and
        ketchup) and ``category``; the numbers of :data:`NUMERIC`; target ``bought``; scenario = category, 0 to 4
        in alphabetical order; groups = household.

    Raises:
        ValueError: an unknown ``order`` or ``tell_tale_prices``.
        DataError: the data file is missing, damaged, or not what it should be.
    """
    return encode(prepare(read_scanner_panels(), order, seed, tell_tale_prices))


def prepare(frame: pd.DataFrame, order: Literal["shuffled", "source"] = "shuffled", seed: int = 0,
            tell_tale_prices: Literal["drop", "keep"] = "drop") -> pd.DataFrame:
    """Add the features to the raw rows.

    A purchase with a tell-tale price is left out whole, after it has counted as history. Hiding only its prices
    would not help: that they are hidden would tell as much. Dropping has its own cost, for the purchases left out
    are all of a few brands, whose shares fall. Keep them to see how much they flatter a model.

    Args:
        frame: the raw rows.
        order: of a household's purchases: ``"shuffled"`` by ``seed``, or as in the ``"source"``, which for tuna
            and ketchup gives the label away.
        seed: of the shuffle.
        tell_tale_prices: drop or keep the purchases at prices that hardly occur but with the brand bought.

    Returns:
        The rows in that order, with the columns of :data:`NUMERIC`, and ``number`` of the household.

    Raises:
        ValueError: an unknown ``order`` or ``tell_tale_prices``.
    """
    if order not in ("shuffled", "source"):
        raise ValueError(f"order {order!r} is unknown; it is 'shuffled' or 'source'")
    if tell_tale_prices not in ("drop", "keep"):
        raise ValueError(f"tell_tale_prices {tell_tale_prices!r} is unknown; it is 'drop' or 'keep'")
    rows = shuffle_purchases(frame, seed) if order == "shuffled" else frame
    rows = rows.assign(number=household_number(rows), **shelf_features(rows), **history(rows))
    if tell_tale_prices == "keep":
        return rows
    return rows[~has_tell_tale_price(rows)].reset_index(drop=True)


def shelf_features(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Describe each brand beside the others on the shelf at the same purchase.

    Returns:
        Name -> [N]: ``relative_price``, the price over the mean of the purchase's prices, less one, in tenths (1.0
        is 10 % dearer); ``cheapest``, 1 for the lowest price, several if they tie; ``display`` and ``feature``, 1
        for yes, and ``…_recorded``, 1 where the category has that column. A price of 0 is missing: it counts in
        no mean, is never the cheapest, and its own relative price is 0.
    """
    price = frame["price"].where(frame["price"] > 0)
    purchase = price.groupby(purchase_number(frame))
    features = {
        "relative_price": 10 * (price / purchase.transform("mean") - 1).fillna(0.0),
        "cheapest": price == purchase.transform("min"),
    }
    for name in ("display", "feature"):
        features[name] = frame[name] == "yes"
        features[f"{name}_recorded"] = frame[name] != NOT_RECORDED
    return {name: values.to_numpy(np.float32) for name, values in features.items()}


def history(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Describe what the household bought before this purchase, in the order of ``frame``.

    Returns:
        Name -> [N]: ``loyalty``, the share of earlier purchases that went to this brand, (n_b + 1) / (n + B) with
        Laplace's rule for the B brands of the category, so 1 / B at the first purchase; ``bought_last_time``, 1
        for the brand of the purchase before; ``log_earlier_purchases``, log(1 + n).
    """
    earlier = frame["occasion"].to_numpy(np.float64)                                    # [N], n
    bought = frame["bought"].astype(np.int64)
    own = bought.groupby([household_number(frame), frame["brand"].cat.codes])           # one brand in one household
    brands = frame["category"].map({category: len(names) for category, names in BRANDS.items()})
    features = {
        "loyalty": (own.cumsum() - bought + 1).to_numpy() / (earlier + brands.to_numpy(np.int64)),
        "bought_last_time": own.shift(fill_value=0).to_numpy(),
        "log_earlier_purchases": np.log1p(earlier),
    }
    return {name: values.astype(np.float32) for name, values in features.items()}


def encode(rows: pd.DataFrame) -> Table:
    """Turn prepared rows, or some of them, into a table of the same order.

    Args:
        rows: from :func:`prepare`. Which purchase a row belongs to is no column of a table; take it from here:
            ``purchase_number(rows)``.
    """
    makers = rows["brand"].map({brand: MAKERS.index(maker) for brand, maker in MAKER_OF.items()})
    ids = [rows["brand"].cat.codes, makers, rows["category"].cat.codes]
    categorical = torch.tensor(np.stack(ids, axis=1), dtype=torch.long)                                 # [N, 3]
    return Table(categorical, (len(MAKER_OF), len(MAKERS), len(BRANDS)),
                 torch.tensor(rows[list(NUMERIC)].to_numpy(), dtype=torch.float32),                     # [N, 9]
                 targets={"bought": torch.tensor(rows["bought"].to_numpy(), dtype=torch.float32)},
                 scenario=categorical[:, 2].clone(), scenarios=len(BRANDS),
                 groups=torch.tensor(rows["number"].to_numpy()), field_names=FIELDS)
