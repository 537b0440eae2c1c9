"""Find, from the rows alone, what in the scanner panels gives the label away; a lesson shows it.

Every function takes the raw rows as :func:`mtl_tutorial.data.scanner_panels.read_scanner_panels` gives them and
returns a small table.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import gammaln

from mtl_tutorial.data.scanner_panels_columns import NOT_RECORDED
from mtl_tutorial.data.scanner_panels_occasions import household_number, purchase_number

ROWS, SHARE = 30, 0.9


def order_of_choices(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare the order in which households bought their brands with a random order of the same purchases.

    A household that bought n_b times the brand b, N = Σ n_b times in all and k brands, changes its brand
    (N − 1) (1 − Σ n_b (n_b − 1) / (N (N − 1))) times in a random order, in the mean. It buys *brand by brand*, all
    of one and then all of the next, in a random order with probability k! Π n_b! / N!. Both are exact: no draw is
    needed. A loyal household changes less often than at random; that every household goes brand by brand is not
    loyalty but sorted rows.

    Returns:
        One row per category, over the households that bought at least two brands: ``households``; ``changes`` of
        brand from one purchase to the next, ``changes_at_random`` and their ``ratio``; ``brand_by_brand``, the
        share of households that buy so, and ``brand_by_brand_at_random``.
    """
    chosen = frame[frame["bought"] == 1]
    household = household_number(chosen)                                                # [O], one row per purchase
    brand = chosen["brand"].cat.codes.to_numpy()
    counts = np.zeros((household[-1] + 1, brand.max() + 1))                             # [H, brands]
    np.add.at(counts, (household, brand), 1)
    total, brands = counts.sum(1), (counts > 0).sum(1)                                  # [H], [H]
    changed = (np.diff(household) == 0) & (np.diff(brand) != 0)
    changes = np.bincount(household[1:], weights=changed, minlength=len(total))         # [H]
    pairs = np.maximum(total * (total - 1), 1)
    table = pd.DataFrame({
        "category": chosen["category"].to_numpy()[np.unique(household, return_index=True)[1]],
        "households": 1,
        "changes": changes.astype(int),
        "changes_at_random": (total - 1) * (1 - (counts * (counts - 1)).sum(1) / pairs),
        "brand_by_brand": changes == brands - 1,
        "brand_by_brand_at_random": np.exp(gammaln(brands + 1) + gammaln(counts + 1).sum(1) - gammaln(total + 1)),
    })[brands > 1]
    groups = table.groupby("category", observed=True)
    result = groups[["households", "changes", "changes_at_random"]].sum()
    result["ratio"] = result["changes"] / result["changes_at_random"]
    return result.join(groups[["brand_by_brand", "brand_by_brand_at_random"]].mean())


def tell_tale_prices(frame: pd.DataFrame, rows: int = ROWS, share: float = SHARE) -> pd.DataFrame:
    """Find the price values that stand almost only with the brand that was bought.

    A low price is bought more often; but a value that hardly ever stands beside a brand left on the shelf was
    not there to be declined. The likely reason is that the price of the brand bought is what was paid, and the
    other prices were filled in from elsewhere.

    Args:
        frame: the raw rows.
        rows: a value must occur in at least so many rows of its brand.
        share: the brand must have been bought in at least this share of them.

    Returns:
        One row per category, brand and price: ``rows`` and ``bought``, the share of them that was bought.
    """
    bought = frame.groupby(["category", "brand", "price"], observed=True)["bought"]
    found = pd.DataFrame({"rows": bought.size(), "bought": bought.mean()})
    return found[(found["rows"] >= rows) & (found["bought"] >= share)].reset_index()


def has_tell_tale_price(frame: pd.DataFrame, rows: int = ROWS, share: float = SHARE) -> np.ndarray:
    """Return, for each row, whether any brand of its purchase has a tell-tale price, [N] bool."""
    found = pd.MultiIndex.from_frame(tell_tale_prices(frame, rows, share)[["brand", "price"]])
    told = pd.MultiIndex.from_frame(frame[["brand", "price"]]).isin(found)              # [N]
    purchase = purchase_number(frame)
    return np.bincount(purchase, weights=told)[purchase] > 0


def tell_tale_purchases(frame: pd.DataFrame, rows: int = ROWS, share: float = SHARE) -> pd.DataFrame:
    """Count, per category, the ``purchases``, those with a ``tell_tale`` price, and their ``share``."""
    chosen = frame.assign(tell_tale=has_tell_tale_price(frame, rows, share))[frame["bought"] == 1]
    groups = chosen.groupby("category", observed=True)["tell_tale"]
    return pd.DataFrame({"purchases": groups.size(), "tell_tale": groups.sum(), "share": groups.mean()})


def recorded_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Say what each category holds.

    Returns:
        One row per category: ``households``, ``purchases``, ``brands``; whether ``display`` and ``feature`` were
        recorded; the lowest and highest price in the unit of the source, and how many prices are 0.
    """
    groups = frame.assign(number=household_number(frame)).groupby("category", observed=True)
    return pd.DataFrame({
        "households": groups["number"].nunique(),
        "purchases": groups["bought"].sum(),
        "brands": groups["brand"].nunique(),
        "display": groups["display"].agg(lambda shown: (shown != NOT_RECORDED).any()),
        "feature": groups["feature"].agg(lambda shown: (shown != NOT_RECORDED).any()),
        "lowest_price": groups["price"].agg(lambda price: price[price > 0].min()),
        "highest_price": groups["price"].max(),
        "zero_prices": groups["price"].agg(lambda price: (price == 0).sum()),
    })


def prices_in_common(frame: pd.DataFrame, seed: int = 0) -> pd.Series:
    """Ask whether catsup and ketchup, which both sell Heinz and Hunt's, are records of the same purchases.

    If they were, the two prices that a household found together in one would be found together in the other.
    Compared are 32-ounce bottles, in cents per ounce to one decimal: the unit of catsup, it seems, and ketchup's
    dollars per bottle turned into it.

    Args:
        frame: the raw rows.
        seed: of the shuffle that shows how many pairs agree by chance.

    Returns:
        The share of catsup purchases whose pair of prices occurs in ketchup: ``found``, and ``at_random``, with
        the Hunt's prices shuffled among the catsup purchases.
    """
    prices = {brand: rows["price"].to_numpy() for brand, rows in frame.groupby("brand", observed=True)}
    ketchup = pd.MultiIndex.from_arrays([(100 * prices[brand] / 32).round(1) for brand in ("heinz", "hunts")])
    heinz, hunts = prices["heinz32"].round(1), prices["hunts32"].round(1)
    shuffled = np.random.default_rng(seed).permutation(hunts)
    return pd.Series({name: pd.MultiIndex.from_arrays([heinz, other]).isin(ketchup).mean()
                      for name, other in (("found", hunts), ("at_random", shuffled))})
