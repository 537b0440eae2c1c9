"""Open Bandit, small sample: real impressions of a fashion shop, with the probability that each item was shown.

60,000 impressions of ZOZOTOWN in November 2019: three campaigns (all, men's, women's items), two policies that
chose the item (uniformly at random; Bernoulli Thompson sampling), 10,000 each. The campaign is the scenario,
*click* the target.

**287 clicks in all, 80 to 115 a campaign: these rows cannot rank models.** With a fifth of them as test rows the
95 % interval of an AUC is ± 0.08, about a value near 0.6. They serve for two things: to show what sparse labels do
to a metric, and to estimate what one policy would have earned from what another one logged (and how a single
propensity of 0.000001 ruins the estimate).

Reference: Saito, Aihara, Matsutani and Narita 2021, Open Bandit Dataset and Pipeline: Towards Realistic and
Reproducible Off-Policy Evaluation. Codebook: :mod:`mtl_tutorial.data.open_bandit_columns`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.open_bandit_columns import COLUMNS, ITEMS, POLICIES, POSITIONS, USER_FEATURES
from mtl_tutorial.data.table import Table

FILE = "open_bandit.parquet"
FIELDS = ("item", "position", "policy", *USER_FEATURES)
NUMERIC = ("log_affinity", "log_affinity_all")


class OpenBandit(NamedTuple):
    """Impressions, and for each the probability with which its policy chose the item it showed."""

    table: Table
    propensity: Tensor                  # [N] float64, in (0, 1]


def read_open_bandit() -> pd.DataFrame:
    """Return the impressions as they are in the source, sorted by campaign, policy and time.

    Returns:
        60,000 rows of the codebook's columns.

    Raises:
        DataError: the file is missing, damaged, or differs from the codebook or from its hash; or it shows an item
            in a campaign that does not have it.
    """
    frame = files.read(FILE, COLUMNS)
    strangers = frame["item"].to_numpy() >= frame["campaign"].map(ITEMS).to_numpy(np.int64)
    if strangers.any():
        row = int(strangers.argmax())
        campaign = frame["campaign"].iloc[row]
        raise DataError(f"{FILE}: column 'item', row {row}: {frame['item'].iloc[row]} is not one of the "
                        f"{ITEMS[campaign]} items of campaign {campaign!r}; {files.REMEDY}")
    return frame


def open_bandit() -> OpenBandit:
    """Return all impressions as a table, and their propensities beside it.

    Returns:
        ``table``: fields ``item`` (160 ids, each of one campaign), ``position``, ``policy`` and the four user
        features; numbers log(1 + past clicks) of the user on this item and on all items; target ``click``;
        scenario = campaign, in the order all, men, women. There are no groups: the source does not say which
        impressions are of one user. ``propensity`` [N]: of the item shown, in the same order; to split both, take
        the same index from both.

    Raises:
        DataError: the data file is missing, damaged, or not what it should be.
    """
    return encode(read_open_bandit())


def encode(frame: pd.DataFrame) -> OpenBandit:
    """Turn impressions, or some of them, into a table and propensities of the same order."""
    campaign = frame["campaign"].cat.codes.to_numpy(np.int64)
    sizes = np.array(list(ITEMS.values()))
    first_item = np.cumsum(sizes) - sizes                                               # of each campaign
    ids = [frame["item"] + first_item[campaign], frame["position"] - 1, frame["policy"].cat.codes,
           *(frame[name].cat.codes for name in USER_FEATURES)]
    cardinalities = (int(sizes.sum()), POSITIONS, len(POLICIES),
                     *(len(frame[name].cat.categories) for name in USER_FEATURES))
    affinities = np.log1p(frame[["affinity", "affinity_all"]].to_numpy(np.float32))
    table = Table(torch.tensor(np.stack(ids, axis=1), dtype=torch.long), cardinalities,            # [N, 7]
                  torch.tensor(affinities),                                                        # [N, 2]
                  targets={"click": torch.tensor(frame["click"].to_numpy(), dtype=torch.float32)},
                  scenario=torch.tensor(campaign), scenarios=len(ITEMS), field_names=FIELDS)
    return OpenBandit(table, torch.tensor(frame["propensity"].to_numpy(), dtype=torch.float64))
