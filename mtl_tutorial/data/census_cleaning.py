"""The steps that prepare Census-Income, one function each: a frame goes in, a new frame and a count come out.

:func:`prepare` takes the three that are the default: :func:`name_missing`, :func:`cap_top_codes` and
:func:`add_log_amounts`. The others are here to be tried; each docstring says why it is not taken.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mtl_tutorial.data.census_columns import EDUCATION, MISSING

AMOUNTS = ("wage_per_hour", "capital_gains", "capital_losses", "stock_dividends")
LOG_AMOUNTS = tuple(f"log_{name}" for name in AMOUNTS)
TOP_CODES = {"wage_per_hour": 9_999, "capital_gains": 99_999, "capital_losses": 99_999, "stock_dividends": 99_999}
WEIGHT = "instance_weight"


def prepare(frame: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """Return the frame after the default steps; what a step must know, it learns from ``train``."""
    named, _ = name_missing(frame)
    capped, _ = cap_top_codes(named, train)
    prepared, _ = add_log_amounts(capped)
    return prepared


def name_missing(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Rename the source's ``?`` to a category ``missing`` of its own.

    No value is filled in, since none is lost by chance: the four migration columns are missing in every row of
    1995 and in none of 1994, and *missing* so states the year. Dropping the rows with a missing value would drop
    that year.

    Returns:
        The new frame, and the number of missing values of each column that has any.
    """
    marked = [name for name in frame.select_dtypes("category") if MISSING in frame[name].cat.categories]
    counts = pd.Series({name: int((frame[name] == MISSING).sum()) for name in marked}, dtype=int)
    renamed = {name: frame[name].cat.rename_categories({MISSING: "missing"}) for name in marked}
    return frame.assign(**renamed), counts[counts > 0]


def drop_repeats(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Keep the first of the rows that agree in every column but the instance weight.

    These are different persons who look alike, not records entered twice: more than nine in ten differ in their
    weight, and most are children, of whom the survey asks little. Dropping them changes the population that a
    model learns: the share of persons under 15 falls from 24 % to 8 %.

    Returns:
        The new frame, and the number of rows left out.
    """
    repeated = frame.drop(columns=WEIGHT).duplicated()
    return frame[~repeated].reset_index(drop=True), int(repeated.sum())


def seen_in(frame: pd.DataFrame, train: pd.DataFrame) -> pd.Series:
    """Return, for each row of ``frame``, whether ``train`` holds a row equal in all but the instance weight."""
    train_keys, keys = (pd.util.hash_pandas_object(rows.drop(columns=WEIGHT), index=False)
                        for rows in (train, frame))
    return keys.isin(train_keys)


def contradictions(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one column of truth values per rule that a row breaks; sum it to count.

    Two look like contradictions and are none, so they are no rules: an hourly wage with no week of work (the wage
    is today's, the weeks are last year's), and a high capital gain with a low income (the survey's total income
    leaves capital gains out).
    """
    born_here = frame["citizenship"] == "Native- Born in the United States"
    bachelor = EDUCATION.index("Bachelors degree(BA AB BS)")
    return pd.DataFrame({
        "born in the United States and abroad": born_here & (frame["birth_country"] != "United-States"),
        "married or once married before 15": (frame["age"] < 15) & (frame["marital_status"] != "Never married"),
        "files a tax return before 15": (frame["age"] < 15) & (frame["tax_filer_status"] != "Nonfiler"),
        "bachelor's degree before 18": (frame["age"] < 18) & (frame["education"].cat.codes >= bachelor),
        "paid less than a dollar an hour": frame["wage_per_hour"].between(1, 99),
    })


def drop_contradictions(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Leave out the rows that break a rule of :func:`contradictions`.

    A handful of rows in 200,000, and test rows must stay for results to be comparable: not worth a step.

    Returns:
        The new frame, and the number of rows left out.
    """
    broken = contradictions(frame).any(axis=1)
    return frame[~broken].reset_index(drop=True), int(broken.sum())


def cap_top_codes(frame: pd.DataFrame, train: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Replace each top code (99,999 means *that much or more*) by the largest amount below it in ``train``.

    The code is a lower bound, not an error, and nearly everybody who carries it has a high income. But it lies far
    from all other amounts (the next capital gain is 41,310) and so would set the scale of its column alone.

    Returns:
        The new frame, and the number of top codes of each amount.
    """
    limits = {name: train[name][train[name] < code].max() for name, code in TOP_CODES.items()}
    counts = pd.Series({name: int((frame[name] >= code).sum()) for name, code in TOP_CODES.items()})
    return frame.assign(**{name: frame[name].clip(upper=limit) for name, limit in limits.items()}), counts


def add_log_amounts(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Add, beside each amount of money x, zero for most persons and large for a few, a column log(1 + x).

    Beside, not in place of: the logarithm says chiefly *whether* there was an amount, which helps to predict
    education; the amount itself says whether it was large, which income needs. Found on held-out training rows.

    Returns:
        The new frame, with four more columns ``log_…``, and the share of non-zero values of each amount.
    """
    amounts = frame[list(AMOUNTS)]
    logarithms = np.log1p(amounts.astype(float)).add_prefix("log_")
    return frame.assign(**logarithms), (amounts > 0).mean()
