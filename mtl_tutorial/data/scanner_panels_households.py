"""Households of the scanner panels as few-shot tasks: learn a taste from a few purchases, predict the next.

A task is one household in one category. Its input is the shelf at a purchase (brands, prices, advertising), its
target the brand taken. No input tells anything of the household: what it bought before reaches a model through the
support set alone, so no column can carry a query's answer, or the future, into the features.

The relative price is a fraction here (0.1 is 10 % dearer), not in tenths. A step of gradient descent moves each
weight by its feature's size: in tenths, the few purchases of a household would mostly move its answer to prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_tutorial.data.scanner_panels import prepare
from mtl_tutorial.data.scanner_panels_columns import BRANDS, CATEGORY_OF
from mtl_tutorial.data.scanner_panels_occasions import purchase_number
from mtl_tutorial.meta.episodes import Episodes

PLACES = max(map(len, BRANDS.values()))                             # J, of the longest shelf
NUMBERS = ("relative_price", "cheapest", "display", "display_recorded", "feature", "feature_recorded")
FEATURES = ("on_shelf", *CATEGORY_OF, *NUMBERS)                     # F; on_shelf is 0 in the empty places


@dataclass(frozen=True)
class Households:
    """H households with up to P purchases each, or R such draws stacked, every field with a leading R.

    Attributes:
        shelf: :data:`FEATURES` of each place on the shelf, [H, P, J, F]; empty places are all 0.
        bought: the place that was bought from, 0 … J − 1, [H, P]; 0 where no purchase is known.
        known: whether the household has so many purchases, [H, P] bool.
        category: 0 … 4, in alphabetical order, [H].
        number: which household it is, the same in every draw, [H].
    """

    shelf: Tensor
    bought: Tensor
    known: Tensor
    category: Tensor
    number: Tensor

    def __len__(self) -> int:
        return self.number.shape[-1]

    def take(self, index: Tensor) -> Households:
        """Return the households of ``index`` [T], or of ``index`` [R, T], so many from each of the R draws."""
        if index.ndim == 1:
            return Households(*(getattr(self, field.name)[index] for field in fields(self)))
        draw = torch.arange(len(index), device=index.device)[:, None]                               # [R, 1]
        return Households(*(getattr(self, field.name)[draw, index] for field in fields(self)))

    @staticmethod
    def stack(draws: list[Households]) -> Households:
        """Stack R draws of as many households each.

        Raises:
            ValueError: draws of different sizes.
        """
        sizes = [tuple(draw.bought.shape) for draw in draws]
        if len(set(sizes)) != 1:
            raise ValueError(f"draws must have as many households and purchases each, but their shapes are {sizes}")
        return Households(*(torch.stack([getattr(draw, field.name) for draw in draws])
                            for field in fields(Households)))


def households(raw: pd.DataFrame, order: Literal["shuffled", "source"] = "shuffled", seed: int = 0, fewest: int = 6,
               most: int = 15) -> Households:
    """Return every household with enough purchases, its purchases in the order asked for.

    Purchases at tell-tale prices are left out, as in :func:`mtl_tutorial.data.scanner_panels.prepare`.

    Args:
        raw: from :func:`mtl_tutorial.data.scanner_panels.read_scanner_panels`.
        order: of a household's purchases: ``"shuffled"`` by ``seed``, or as in the ``"source"``, which for tuna
            and ketchup is sorted by the brand bought.
        seed: of the shuffle.
        fewest: purchases that a household must have, or it is left out.
        most: P, purchases kept of a household, the first in that order.

    Returns:
        Households in the order of the rows, so sorted by category.

    Raises:
        ValueError: an unknown ``order``, ``fewest`` below 2, or ``most`` below ``fewest``.
    """
    if not 2 <= fewest <= most:
        raise ValueError(f"2 ≤ fewest ≤ most is needed, one purchase to adapt to and one to predict, "
                         f"but fewest={fewest} and most={most}")
    rows = prepare(raw, order, seed)
    chosen = rows["bought"].to_numpy() == 1
    number, place = rows["number"].to_numpy()[chosen], _place(rows)                                 # [O], [N]
    _, task, size = np.unique(number, return_inverse=True, return_counts=True)                      # [O], [H₀]
    turn = np.arange(len(task)) - (np.cumsum(size) - size)[task]                                # [O], 0, 1, …
    used = (turn < most) & (size >= fewest)[task]
    kept = np.flatnonzero(size >= fewest)

    shelves = np.zeros((len(task), PLACES, len(FEATURES)), np.float32)                              # [O, J, F]
    brand = rows["brand"].cat.codes.to_numpy(np.int64)
    shelves[purchase_number(rows), place] = np.hstack([
        np.ones((len(rows), 1)), np.eye(len(CATEGORY_OF))[brand], rows["relative_price"].to_numpy()[:, None] / 10,
        rows[list(NUMBERS[1:])].to_numpy()])
    where = np.searchsorted(kept, task[used]), turn[used]
    shelf = np.zeros((len(kept), most, PLACES, len(FEATURES)), np.float32)
    shelf[where] = shelves[used]
    bought, known = np.zeros((len(kept), most), np.int64), np.zeros((len(kept), most), bool)
    bought[where], known[where] = place[chosen][used], True
    first = (np.cumsum(size) - size)[kept]                                                          # [H], of the O
    return Households(torch.from_numpy(shelf), torch.from_numpy(bought), torch.from_numpy(known),
                      torch.tensor(rows["category"].cat.codes.to_numpy(np.int64)[chosen][first]),
                      torch.from_numpy(number[first]))


def split_households(tasks: Households, shares: tuple[float, ...], seed: int) -> list[Households]:
    """Part households at random, each category by the same shares, so that no household is in two parts.

    Args:
        tasks: one draw.
        shares: of each part, summing to at most 1.
        seed: of the split. How many households a part gets does not depend on it.

    Raises:
        ValueError: shares that are not positive, or sum to more than 1.
    """
    if min(shares) <= 0 or sum(shares) > 1 + 1e-9:
        raise ValueError(f"shares must be positive and sum to at most 1, not {shares}")
    draw = torch.Generator().manual_seed(seed)
    parts: list[list[Tensor]] = [[] for _ in shares]
    for category in tasks.category.unique():
        mine = (tasks.category == category).nonzero().squeeze(-1)
        mine = mine[torch.randperm(len(mine), generator=draw)]
        ends = [round(end * len(mine)) for end in np.cumsum([0.0, *shares])]
        for part, start, end in zip(parts, ends, ends[1:], strict=False):
            part.append(mine[start:end])
    return [tasks.take(torch.cat(part)) for part in parts]


def episodes(tasks: Households, seen: Tensor | int, support: int = 5) -> Episodes:
    """Turn households into tasks: the first ``seen`` purchases to learn from, those after ``support`` to predict.

    What is to be predicted does not depend on ``seen``, so that results after one and after five purchases can be
    compared.

    Args:
        tasks: H households, or R draws of H.
        seen: purchases to learn from, 1 … ``support``: one number, or one for each household, [H] or [R, H].
        support: S, places in the support set; purchases between ``seen`` and S are masked.

    Returns:
        H or R · H tasks (draw 0 first): inputs the shelves [T, S or Q, J, F], targets the places bought from.

    Raises:
        ValueError: ``seen`` outside 1 … ``support``, or a household with no purchase after ``support``.
    """
    seen = torch.as_tensor(seen).expand(tasks.number.shape)
    if seen.min() < 1 or seen.max() > support:
        raise ValueError(f"seen must be 1 … {support} purchases, the size of the support set, not "
                         f"{int(seen.min())} … {int(seen.max())}")
    shelf = tasks.shelf.reshape(-1, *tasks.shelf.shape[-3:])                            # [T, P, J, F]
    bought, known = (part.reshape(-1, part.shape[-1]) for part in (tasks.bought, tasks.known))      # [T, P]
    if support >= known.shape[1] or not known[:, support].all():
        raise ValueError(f"every household needs a purchase to predict after the first {support}; "
                         f"keep those with fewest={support + 1} or more")
    counted = known[:, :support] & (torch.arange(support, device=seen.device) < seen.reshape(-1, 1))
    return Episodes(shelf[:, :support], bought[:, :support], shelf[:, support:], bought[:, support:], counted,
                    known[:, support:])


def draw_episodes(tasks: Households, count: int, seen: Sequence[int], seed: int) -> Episodes:
    """Draw households, with replacement, and for each how many purchases it shows.

    Args:
        tasks: R draws of H households.
        count: households of each draw.
        seen: numbers of purchases to choose from, all alike.
        seed: of the drawing.

    Returns:
        R · ``count`` tasks, as :func:`episodes` makes them.

    Raises:
        ValueError: a single draw, not stacked.
    """
    if tasks.number.dim() != 2:
        raise ValueError(f"households of {tasks.number.dim()} dimension(s): draw_episodes wants R draws, so stack "
                         "them first, Households.stack([tasks]) for a single one")
    draw = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(tasks), (len(tasks.number), count), generator=draw)                  # [R, T]
    shown = torch.tensor(seen)[torch.randint(len(seen), picked.shape, generator=draw)]
    return episodes(tasks.take(picked), shown)


def mean_by_category(values: Tensor, tasks: Households) -> Tensor:
    """Return the mean over the households of each category.

    Args:
        values: of each household, [..., H], or [..., R · H] of R draws.
        tasks: the households.

    Returns:
        [..., 5], or [..., R, 5]; NaN for a category without a household.
    """
    values = values.reshape(*values.shape[:-1], *tasks.number.shape)                                # [..., R, H]
    members = F.one_hot(tasks.category, len(BRANDS)).to(values.dtype)                               # [R, H, 5]
    return (values.unsqueeze(-1) * members).sum(-2) / members.sum(-2)


def _place(rows: pd.DataFrame) -> np.ndarray:
    """Return each row's place on its category's shelf, 0 … J − 1, [N] int64."""
    first = dict(zip(BRANDS, np.cumsum([0, *map(len, BRANDS.values())]), strict=False))
    return rows["brand"].cat.codes.to_numpy(np.int64) - rows["category"].map(first).to_numpy(np.int64)
