"""The shortest vector between the gradients: a problem that two methods share."""

from __future__ import annotations

import torch
from scipy.optimize import nnls
from torch import Tensor


def shortest(rows: Tensor) -> Tensor:
    """Return the weights w ≥ 0, Σ w = 1, for which Σ_k w_k g_k is shortest.

    By least squares without negative coefficients: u ≥ 0 minimises ‖Σ_k u_k g_k‖² + (Σ_k u_k − 1)², and
    w = u / Σ u. (Along u = s w the smallest value is ‖g_w‖² / (1 + ‖g_w‖²), which grows with ‖g_w‖.) Active sets
    solve it exactly in a few steps. Frank–Wolfe needs many where the solution lies in a face of the simplex or is
    zero.

    Args:
        rows: the gradients g_k, or rows with the same inner products, [K, P] float64.

    Reference: Lawson and Hanson 1974, Solving Least Squares Problems, chapter 23.
    """
    largest = rows.norm(dim=-1).max().clamp(min=torch.finfo(rows.dtype).tiny)
    system = torch.cat([rows / largest, torch.ones(len(rows), 1)], -1).T                # [P + 1, K]
    wanted = torch.zeros(len(system))
    wanted[-1] = 1
    found, _ = nnls(system.numpy(), wanted.numpy(), maxiter=100 * len(rows))
    return torch.from_numpy(found / found.sum())
