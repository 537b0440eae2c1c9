"""Loyalty, the classical feature: what a household's few purchases say of each brand, without any adaptation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_tutorial.meta.episodes import Episodes


def with_taste(tasks: Episodes) -> Episodes:
    """Add one feature to every place on the shelf, the classical loyalty: what was bought there, by :func:`taste`.

    On the support rows themselves it is 0, that of a household never seen: a purchase must not tell of itself.

    Returns:
        The same tasks with inputs [T, S or Q, J, F + 1].
    """
    brands = tasks.support_x[:, 0, :, 0] > 0                                            # [T, J]
    learned = taste(tasks.support_y, tasks.support_mask, brands)                        # [T, J]
    return tasks._replace(support_x=_append(tasks.support_x, torch.zeros_like(learned)),
                          query_x=_append(tasks.query_x, learned))


def _append(x: Tensor, column: Tensor) -> Tensor:
    """Add a column [T, J], the same at every purchase, to shelves [T, N, J, F]."""
    return torch.cat([x, column[:, None, :, None].expand(*x.shape[:-1], 1)], -1)


def taste(bought: Tensor, seen: Tensor, brands: Tensor) -> Tensor:
    """Return how much more than its even share each brand got of the purchases seen, log (B (n_b + 1) / (n + B)).

    The share is that of Laplace's rule, so that a household never seen has taste 0. Empty places have 0, too.

    Args:
        bought: places bought from, [..., S].
        seen: which of these purchases count, [..., S] bool.
        brands: which places hold a brand, [..., J] bool; B of them.

    Returns:
        [..., J].
    """
    counts = (F.one_hot(bought, brands.shape[-1]) * seen.unsqueeze(-1)).sum(-2)   # [..., J]
    size = brands.sum(-1, keepdim=True)                                                             # [..., 1], B
    return (size * (counts + 1) / (counts.sum(-1, keepdim=True) + size)).log() * brands
