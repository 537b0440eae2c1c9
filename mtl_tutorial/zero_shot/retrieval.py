"""The best items for each user among all there are, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

CELLS = 2**24       # scores held at once


def top_k(users: Tensor, items: Tensor, k: int, among: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the k items with the largest inner product for each user, best first; ties go to the lower id.

    One product over all items for as many users at a time as memory allows: no index, nothing approximate.

    Args:
        users: vectors, [U, D].
        items: vectors, [I, D].
        k: length of the lists.
        among: True where an item may be listed, [I] bool; all items if left out.

    Returns:
        Scores [U, k] and item ids [U, k].

    Raises:
        ValueError: vectors of different lengths, a score that is not a number, fewer candidates than k, k below 1.
    """
    if users.shape[-1] != items.shape[-1]:
        raise ValueError(f"user vectors have {users.shape[-1]} numbers, item vectors {items.shape[-1]}")
    candidates = torch.arange(len(items), device=items.device) if among is None else among.nonzero().squeeze(-1)
    if not 1 <= k <= len(candidates):
        raise ValueError(f"k={k} is outside 1 … {len(candidates)}, the number of candidates")
    found = [best(part @ items[candidates].T, k) for part in users.split(max(1, CELLS // len(candidates)))]
    scores, places = (torch.cat(column) for column in zip(*found, strict=True))
    return scores, candidates[places]


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest scores of each row and their places, [U, k] each, best first, ties to the lower place.

    ``torch.topk`` promises nothing about ties. It finds the set; where a tie crosses the list's end, the row is
    sorted instead.

    Raises:
        ValueError: a score that is not a number.
    """
    if scores.isnan().any():
        raise ValueError(f"user {int(scores.isnan().any(-1).nonzero()[0])} has a score that is not a number")
    top, places = scores.topk(min(k + 1, scores.shape[-1]))                             # [U, k + 1]
    open_end = (top[:, k - 1:k] == top[:, k:]).any(-1)                                  # [U]; False where k is all
    places = places[:, :k].sort(-1).values                                              # [U, k] by place …
    order = scores.gather(-1, places).sort(dim=-1, descending=True, stable=True)        # … then by score
    places, top = places.gather(-1, order.indices), order.values
    if open_end.any():
        whole = scores[open_end].sort(dim=-1, descending=True, stable=True)
        top[open_end], places[open_end] = whole.values[:, :k], whole.indices[:, :k]
    return top, places
