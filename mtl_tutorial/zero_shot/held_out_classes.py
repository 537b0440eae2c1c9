"""Choosing the calibration factor where there is nothing to choose it on: seen classes play the unseen ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mtl_tutorial.zero_shot.calibrated_stacking import choose_factor, tradeoff
from mtl_tutorial.zero_shot.class_statistics import class_splits


def choose_factors(scores_of: Callable[[Tensor], Tensor], y: Tensor, seen: Tensor, held_out: int,
                   factors: Tensor) -> Tensor:
    """Return a calibration factor for every split, chosen without its unseen classes, [S].

    Each way to hold out some more of a split's seen classes gives a classifier that has not seen these either. The
    factor of the split is the one whose harmonic mean is best in the average over all these ways, with the split's
    seen classes alone to choose from. A set of training classes may serve many splits; it is learned once.

    Args:
        scores_of: trains on the rows of some classes, [P, C] bool, and returns the scores of every class for
            validation rows that nothing is trained on, [P, N, C].
        y: class of the validation rows, [N].
        seen: of S splits, each with as many seen classes as the others, [S, C] bool.
        held_out: how many of a split's seen classes play the unseen ones.
        factors: to choose from, ascending, [F].

    Raises:
        ValueError: splits of different sizes, or so many classes held out that fewer than two are left.
    """
    sizes = seen.sum(-1).unique()
    if len(sizes) > 1:
        raise ValueError(f"splits have {sizes.tolist()} seen classes: they must all have the same number")
    left = int(sizes) - held_out
    if left < 2 or held_out < 1:
        raise ValueError(f"held_out={held_out} of {int(sizes)} seen classes: take 1 … {int(sizes) - 2}, so that "
                         "two are left to learn from")
    classes = seen.shape[1]
    taught = class_splits(classes, classes - left).to(seen.device)                      # [P, C]
    within = ~(taught.unsqueeze(0) & ~seen.unsqueeze(1)).any(-1)                        # [S, P] no unseen class
    needed = within.any(0)
    taught, within = taught[needed], within[:, needed]
    scores = scores_of(taught)                                                          # [P, N, C]
    chosen = []
    for split, sets in zip(seen, within, strict=True):
        own, rows = split.nonzero().squeeze(-1), split[y]
        place = split.cumsum(0) - 1                                                     # [C], of a class among own
        part = scores[sets][:, rows][:, :, own]                                         # [ways, n, seen classes]
        chosen.append(choose_factor(tradeoff(part, place[y[rows]], taught[sets][:, own], factors)))
    return torch.stack(chosen)
