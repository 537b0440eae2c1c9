"""Calibrated stacking: seen classes hand in a fixed amount of score before the classes compete.

Trained on seen classes alone, a classifier scores them higher on any picture. Taking a *calibration factor* off
their scores moves pictures over to the unseen classes, one after the other: accuracy on seen classes is traded for
accuracy on unseen ones.

Reference: Chao et al. 2016, An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object
Recognition in the Wild.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mtl_tutorial.zero_shot.harmonic import harmonic_mean
from mtl_tutorial.zero_shot.learner import predicted


class Tradeoff(NamedTuple):
    """Accuracies with all classes to choose from, at each of F calibration factors."""

    factors: Tensor                             # [F]
    seen: Tensor                                # [..., F] per-class accuracy on rows of seen classes
    unseen: Tensor                              # [..., F] … of unseen classes

    @property
    def harmonic(self) -> Tensor:
        """The harmonic mean at each factor, [..., F]."""
        return harmonic_mean(self.seen, self.unseen)

    def area(self) -> Tensor:
        """Return the area under the seen–unseen curve, [...]; factors must ascend and reach both ends.

        Reference: Chao et al. 2016, section 4.2 (AUSUC).
        """
        return torch.trapezoid(self.seen, self.unseen, dim=-1)


def calibrated_predict(scores: Tensor, seen: Tensor, factor: Tensor | float) -> Tensor:
    """Return the best class after the seen ones have handed in ``factor``, [..., N].

    Args:
        scores: of all classes, [..., N, C].
        seen: which classes are, [..., C] bool.
        factor: the calibration factor, a number or [...]; minus infinity chooses among the seen alone, infinity
            among the unseen.
    """
    best_seen, best_unseen, gap = _rivals(scores, seen)
    factor = torch.as_tensor(factor, dtype=scores.dtype, device=scores.device).unsqueeze(-1)
    return torch.where(gap >= factor, best_seen, best_unseen)


def tradeoff(scores: Tensor, y: Tensor, seen: Tensor, factors: Tensor) -> Tradeoff:
    """Return the accuracies at each calibration factor.

    A row changes sides once, at the lead of its best seen class over its best unseen one; so all factors together
    cost one sorting of the rows into bins.

    Args:
        scores: of all classes, [..., N, C].
        y: true class of each row, [N].
        seen: which classes are, [..., C] bool.
        factors: ascending, [F].
    """
    best_seen, best_unseen, gap = _rivals(scores, seen)                                 # [..., N]
    of_seen = seen[..., y]                                                              # [..., N] bool
    counts = torch.bincount(y, minlength=scores.shape[-1]).to(scores.dtype)             # [C]
    share = (1 / counts[y]).expand_as(gap)                                              # each class weighs 1 in all
    stays = torch.where(of_seen & (best_seen == y), share, 0.0)
    moves = torch.where(~of_seen & (best_unseen == y), share, 0.0)
    place = torch.searchsorted(factors.to(gap.dtype), gap.contiguous(), right=True)     # how many the row stays for
    empty = gap.new_zeros(*gap.shape[:-1], len(factors) + 1)
    lost = empty.scatter_add(-1, place, stays).cumsum(-1)[..., :-1]                     # at each factor
    won = empty.scatter_add(-1, place, moves).cumsum(-1)[..., :-1]
    sides = (side & (counts > 0) for side in (seen, ~seen))
    seen_classes, unseen_classes = (side.sum(-1, keepdim=True).to(gap.dtype) for side in sides)
    return Tradeoff(factors, (stays.sum(-1, keepdim=True) - lost) / seen_classes, won / unseen_classes)


def choose_factor(held_out: Tradeoff) -> Tensor:
    """Return the factor with the best harmonic mean, averaged over splits [splits, F] of *seen* classes, a scalar.

    Args:
        held_out: accuracies of classifiers that were trained without some of the seen classes, which play the
            unseen ones here. The classes that are truly unseen have no part in it.

    The middle one of factors that are equally good.

    Raises:
        ValueError: a split without a row of a seen, or of an unseen class.
    """
    mean = held_out.harmonic.mean(0)                                                    # [F]
    if mean.isnan().any():
        raise ValueError("a split has no row of its seen classes, or none of those that play the unseen ones")
    best = (mean == mean.max()).nonzero().squeeze(-1)
    return held_out.factors[best[len(best) // 2]]


def _rivals(scores: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best seen class, the best unseen one, and by how much the former leads, [..., N] each."""
    best_seen, best_unseen = predicted(scores, seen), predicted(scores, ~seen)
    lead = scores.gather(-1, best_seen.unsqueeze(-1)) - scores.gather(-1, best_unseen.unsqueeze(-1))
    return best_seen, best_unseen, lead.squeeze(-1)
