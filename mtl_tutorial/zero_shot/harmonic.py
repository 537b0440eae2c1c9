"""How well a classifier does on seen and on unseen classes, with all of them to choose from."""

from __future__ import annotations

import torch
from torch import Tensor


def per_class_accuracy(found: Tensor, y: Tensor, among: Tensor) -> Tensor:
    """Return the share of right answers in each class, averaged over some classes, [...].

    A class counts alike whether it has many rows or few, so nothing is gained by being right about the large ones.

    Args:
        found: predicted class of each row, [..., N].
        y: its true class, [N].
        among: the classes to average over, [..., C] bool. One without rows is left out.

    Returns:
        NaN where no such class has a row.

    Reference: Xian et al. 2019, Zero-Shot Learning: A Comprehensive Evaluation of the Good, the Bad and the Ugly,
    equation 9.
    """
    real = torch.get_default_dtype()                    # not every device has float64
    members = (y.unsqueeze(1) == torch.arange(among.shape[-1], device=y.device)).to(real)       # [N, C]
    counts = members.sum(0)                                                             # [C]
    right = (found == y).to(real) @ members / counts.clamp(min=1)                       # [..., C]
    chosen = (among & (counts > 0)).to(real)
    return (right * chosen).sum(-1) / chosen.sum(-1)


def harmonic_mean(seen: Tensor, unseen: Tensor) -> Tensor:
    """Return 2ab / (a + b) of two accuracies, 0 where both are 0, NaN where one is.

    It is never more than twice the smaller one: whoever knows nothing of the unseen classes has no part in it.

    Reference: Xian et al. 2019, equation 11.
    """
    total = seen + unseen
    return torch.where(total == 0, 0.0, 2 * seen * unseen / total.clamp(min=torch.finfo(total.dtype).tiny))


def generalised_accuracy(found: Tensor, y: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return per-class accuracy on the seen and on the unseen classes, and their harmonic mean, [...] each.

    Args:
        found: predicted class of each row, chosen among *all* classes, [..., N].
        y: its true class, [N].
        seen: which classes were, [..., C] bool.

    Reference: Xian et al. 2019, equations 9 to 11.
    """
    sides = per_class_accuracy(found, y, seen), per_class_accuracy(found, y, ~seen)
    return *sides, harmonic_mean(*sides)
