"""Working with gradients of which only the Gramian is known."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def one_by_one(method: Callable[[Tensor], Tensor], gramian: Tensor) -> Tensor:
    """Apply a method, from one Gramian [K, K] to weights [K], to Gramians [..., K, K]; in float64, on the CPU."""
    problems = gramian.detach().to("cpu", torch.float64).reshape(-1, *gramian.shape[-2:])
    return torch.stack([method(problem) for problem in problems]).reshape(gramian.shape[:-1]).to(gramian)


def rows_of(gramian: Tensor) -> Tensor:
    """Return K rows with the inner products of a Gramian, [K, K]: they stand for the gradients.

    The root is that of the correlations, so that a small gradient beside a large one keeps its digits.
    """
    lengths = gramian.diagonal().clamp(min=0).sqrt()                                    # [K]
    divisor = lengths.clamp(min=torch.finfo(gramian.dtype).tiny)
    values, vectors = torch.linalg.eigh(gramian / divisor / divisor[:, None])
    return lengths[:, None] * vectors * values.clamp(min=0).sqrt()
