"""Hubness: in many dimensions a few points are the nearest neighbours of nearly everybody."""

from __future__ import annotations

import torch
from torch import Tensor


def k_occurrence(scores: Tensor, k: int = 1) -> Tensor:
    """Return N_k, how many queries have each target among their k best, [..., Q, C] to [..., C].

    Args:
        scores: of every target for every query.
        k: length of the list; the best alone with 1.

    Raises:
        ValueError: k is not 1 … C.

    Reference: Radovanović, Nanopoulos and Ivanović 2010, Hubs in Space, section 2.
    """
    if not 1 <= k <= scores.shape[-1]:
        raise ValueError(f"k={k}, but there are {scores.shape[-1]} targets: take 1 … {scores.shape[-1]}")
    listed = torch.zeros_like(scores).scatter(-1, scores.topk(k, -1).indices, 1.0)      # [..., Q, C]
    return listed.sum(-2)


def skewness(counts: Tensor) -> Tensor:
    """Return the third standardised moment over the last dimension, [..., C] to [...]; 0 where all are equal.

    Of N_k it measures hubness: 0 if every target is somebody's neighbour as often as any other, large if a few have
    nearly all queries to themselves.
    """
    centred = counts - counts.mean(-1, keepdim=True)
    spread = centred.square().mean(-1).sqrt()
    return torch.where(spread > 0, centred.pow(3).mean(-1) / spread.clamp(min=1e-12) ** 3, 0.0)
