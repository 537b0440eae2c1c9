"""Maximum mean discrepancy: how far apart two samples are, as seen by a kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def squared_distances(features: Tensor) -> Tensor:
    """Return ‖x_i − x_j‖² of all pairs of rows, [N, d] -> [N, N]."""
    inner = features @ features.T                                                       # [N, N]
    squares = inner.diagonal()
    return (squares.unsqueeze(-1) + squares - 2 * inner).clamp(min=0)


def median_bandwidth(distances: Tensor) -> Tensor:
    """Return the median distance between two different rows, a scalar without gradient: the median heuristic.

    Args:
        distances: squared distances of all pairs, [N, N].

    Reference: Gretton et al. 2012, A Kernel Two-Sample Test, section 8.
    """
    above = torch.triu_indices(len(distances), len(distances), offset=1, device=distances.device)
    return distances.detach()[above[0], above[1]].median().sqrt()


def rbf_kernel(distances: Tensor, bandwidth: Tensor | float) -> Tensor:
    """Return exp(−‖x − y‖² / 2σ²) of squared distances, any shape."""
    return (-distances / (2 * bandwidth**2)).exp()


def kernel_discrepancy(kernel: Tensor, is_target: Tensor, unbiased: bool) -> Tensor:
    """Return the squared discrepancy of two samples from the kernel of all pairs of rows, a scalar.

    Args:
        kernel: [N, N].
        is_target: which rows are the second sample, [N] bool.
        unbiased: leave out each row's kernel with itself; the estimate may then be below 0.
    """
    second = is_target.to(kernel.dtype)                                                 # [N]
    first = 1 - second
    own = kernel - torch.diag_embed(kernel.diagonal()) if unbiased else kernel

    def within(rows: Tensor) -> Tensor:
        count = rows.sum()
        return rows @ own @ rows / (count * (count - 1) if unbiased else count**2).clamp(min=1)

    across = first @ kernel @ second / (first.sum() * second.sum()).clamp(min=1)
    return within(first) + within(second) - 2 * across


def squared_mmd(source: Tensor, target: Tensor, bandwidth: Tensor | float | None = None,
                unbiased: bool = True) -> Tensor:
    """Return the squared maximum mean discrepancy of two samples under a Gaussian kernel, a scalar.

    Args:
        source: [N, d].
        target: [M, d].
        bandwidth: σ, in the unit of the features; by default the median distance within both samples together.
        unbiased: mean over pairs of different rows (its expectation is 0 for equal distributions); otherwise over
            all pairs, which is never negative.

    Raises:
        ValueError: an unbiased estimate from a sample of one row.

    Reference: Gretton et al. 2012, A Kernel Two-Sample Test, equations 3 (unbiased) and 5 (biased).
    """
    if unbiased and min(len(source), len(target)) < 2:
        raise ValueError(f"{len(source)} and {len(target)} rows: the unbiased estimate needs two of each at least")
    distances = squared_distances(torch.cat([source, target]))
    is_target = torch.arange(len(distances), device=distances.device) >= len(source)
    kernel = rbf_kernel(distances, median_bandwidth(distances) if bandwidth is None else bandwidth)
    return kernel_discrepancy(kernel, is_target, unbiased)


class MMD(nn.Module):
    """Biased squared MMD of a batch's two domains, for :class:`~mtl_tutorial.transfer.aligned.Aligned`.

    The bandwidth is the median distance within the batch, anew at every step, but no less than a hundredth of the
    features' root mean square: where most rows are alike (a ReLU that is silent), the median says nothing.

    Args:
        strength: factor to the discrepancy; of the models of one stack each has its own.

    Reference: Long et al. 2015, Learning Transferable Features with Deep Adaptation Networks (with one kernel).
    """

    def __init__(self, strength: float = 1.0):
        super().__init__()
        self.register_buffer("strength", torch.tensor(float(strength)))

    def forward(self, features: Tensor, is_target: Tensor) -> Tensor:
        """Map features [B, d] and where they are the target's [B] bool to a scalar; without one domain, 0."""
        distances = squared_distances(features)
        both = is_target.any() & ~is_target.all()
        size = features.detach().square().sum(-1).mean().sqrt() + torch.finfo(features.dtype).eps
        kernel = rbf_kernel(distances, torch.maximum(median_bandwidth(distances), 0.01 * size))
        return self.strength * both * kernel_discrepancy(kernel, is_target, unbiased=False)
