"""A class is its description, and the examples there are of it: the nearest prototype by cosine.

With no example the prototype is the vector of the description alone, which is zero-shot classification by text.
Every example then pulls it towards what people really write.

Reference: Snell, Swersky and Zemel 2017, Prototypical Networks for Few-shot Learning, section 2.7 (a class's
meta-data as its prototype in the zero-shot case).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def described_prototypes(descriptions: Tensor, examples: Tensor, labels: Tensor, weight: float = 1.0) -> Tensor:
    """Return each class's prototype of length one, w · d_c + Σ e over its examples, [..., C, D].

    Args:
        descriptions: vectors d, [C, D], as long as the examples.
        examples: vectors e, [..., N, D]; a leading dimension holds several draws of examples.
        labels: their classes 0 … C − 1, [..., N]. A class may have none: its description stands for it.
        weight: w, the number of examples that a description counts as; 0 leaves it out.

    Raises:
        ValueError: a negative weight, or with weight 0 a class without an example.
    """
    sums = _sums(descriptions, examples, labels, weight)
    if weight == 0:
        empty = ~(labels.unsqueeze(-1) == torch.arange(len(descriptions), device=labels.device)).any(-2)
        if empty.any():
            raise ValueError(f"class {int(empty.nonzero()[0, -1])} has no example, and with weight 0 no "
                             "description either: there is nothing to tell it by")
    return normalize(sums, dim=-1)


def left_out_accuracy(descriptions: Tensor, examples: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Return the share of examples that are found when each is left out of its own prototype, [...].

    It says which weight to take without any message beyond the examples. An only example leaves its class with the
    description alone while the others keep theirs, so that with one of each the estimate is too low.

    Args:
        descriptions: [C, D].
        examples: [..., N, D], of length one.
        labels: [..., N].
        weight: as for :func:`described_prototypes`.

    Raises:
        ValueError: a negative weight.
    """
    sums = _sums(descriptions, examples, labels, weight)                                # [..., C, D]
    scores = examples @ normalize(sums, dim=-1).mT                                      # [..., N, C]
    own = sums.gather(-2, labels.unsqueeze(-1).expand_as(examples)) - examples          # [..., N, D]
    own_score = (normalize(own, dim=-1) * examples).sum(-1, keepdim=True)               # [..., N, 1]
    found = scores.scatter(-1, labels.unsqueeze(-1), own_score).argmax(-1)              # [..., N]
    return (found == labels).to(examples.dtype).mean(-1)


def _sums(descriptions: Tensor, examples: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Return w · d_c + Σ e, [..., C, D]."""
    if weight < 0:
        raise ValueError(f"weight={weight}: a description counts as 0 examples or more")
    members = labels.unsqueeze(-1) == torch.arange(len(descriptions), device=labels.device)     # [..., N, C]
    return weight * descriptions + members.to(examples.dtype).mT @ examples
