"""DAP: recognise the attributes one by one, then look up which class has them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_tutorial.newton import damped_newton
from mtl_tutorial.zero_shot.class_statistics import class_statistics, ridge_by_class
from mtl_tutorial.zero_shot.learner import ZeroShotClassifier

FLAT = 1e-9             # added to the curvature, for scores that are all alike

def attribute_log_posterior(logits: Tensor, table: Tensor, prior: Tensor) -> Tensor:
    """Return log ∏ₘ p(a_m^z | x) / p(a_m^z) for every class z, [..., N, C].

    Args:
        logits: log-odds that a row has the attribute, [..., N, M].
        table: 1 where a class has the attribute and 0 elsewhere, [C, M].
        prior: probability of the attribute before any row is seen, strictly between 0 and 1, [..., M].

    Reference: Lampert, Nickisch and Harmeling 2009, Learning to Detect Unseen Object Classes by Between-Class
    Attribute Transfer, equation 4 (there the last step takes the class with the largest).
    """
    has = F.logsigmoid(logits) - prior.log().unsqueeze(-2)                              # [..., N, M]
    lacks = F.logsigmoid(-logits) - torch.log1p(-prior).unsqueeze(-2)
    return has @ table.T + lacks @ (1 - table).T                                        # [..., N, C]


class DAP(ZeroShotClassifier):
    """Direct attribute prediction; the attribute classifiers of all splits are fitted as one batch.

    An attribute's classifier is ridge regression on 1 (has it) and −1, whose score becomes a probability by Platt's
    sigmoid, fitted on rows that the regression did not see. (Lampert et al. take a support vector
    machine and Platt's sigmoid.) An attribute that all seen classes have, or none, cannot be learned: its
    probability stays at its prior, and it decides nothing.

    Signatures are the table of attributes, 0 or 1.

    Args:
        ridge: strength of the penalty.
        calibration_share: of the rows of each class, the last in their order, for the sigmoids; with 0 they
            are fitted on the rows that the regression saw.

    Attributes:
        prior_: share of the seen classes that have each attribute, [..., M].
        learnable_: which attributes vary among the seen classes, [..., M] bool.

    Reference: Lampert, Nickisch and Harmeling 2009; Platt 1999, Probabilistic Outputs for Support Vector Machines.
    """

    def __init__(self, ridge: float = 10.0, calibration_share: float = 0.25):
        if not 0 <= calibration_share < 1:
            raise ValueError(f"calibration_share={calibration_share} is outside 0 … 1: rows must be left to fit")
        self.ridge, self.calibration_share = ridge, calibration_share

    def _learn(self, x: Tensor, y: Tensor, signatures: Tensor) -> None:
        if signatures.ndim != 2 or not ((signatures == 0) | (signatures == 1)).all():
            raise ValueError("DAP's signatures are a table of attributes [C, M] of zeros and ones")
        self.table_ = signatures
        known = self.seen_.to(x.dtype)
        self.prior_ = known @ signatures / known.sum(-1, keepdim=True)                  # [..., M]
        self.learnable_ = (self.prior_ > 0) & (self.prior_ < 1)
        held_back = _last_of_each_class(y, self.calibration_share)                      # [N] bool
        statistics = class_statistics(x[~held_back], y[~held_back], len(signatures))
        self.weights_ = ridge_by_class(statistics, self.seen_, 2 * signatures - 1, self.ridge)      # [..., D, M]
        rows = held_back if held_back.any() else ~held_back
        scores = x[rows] @ self.weights_                                                # [..., n, M]
        self.slope_, self.offset_ = platt(scores, signatures[y[rows]], known[..., y[rows]])         # [..., M] each

    def attribute_logits(self, x: Tensor) -> Tensor:
        """Return the log-odds of each attribute, features [N, D] to [..., N, M]; 0 where not learnable."""
        logits = (x @ self.weights_) * self.slope_.unsqueeze(-2) + self.offset_.unsqueeze(-2)
        return torch.where(self.learnable_.unsqueeze(-2), logits, 0.0)

    def _scores(self, x: Tensor) -> Tensor:
        prior = torch.where(self.learnable_, self.prior_, 0.5)
        return attribute_log_posterior(self.attribute_logits(x), self.table_, prior)


def platt(scores: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Fit p = σ(slope · score + offset) to labels, a problem for each column, in float64 on the CPU.

    Labels are drawn in a little, as Platt does: to (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2). So columns that can be
    told apart without an error have a finite answer.

    Args:
        scores: [..., N, M].
        labels: 1 or 0, [N, M].
        weights: 1 of rows that count, [..., N].

    Returns:
        Slopes and offsets, [..., M] each. Where all labels of a column agree they mean nothing.

    Raises:
        RuntimeError: no convergence.

    Reference: Platt 1999; Lin, Lin and Weng 2007, A Note on Platt's Probabilistic Outputs.
    """
    given, labels, weights = scores, labels.cpu().double(), weights.cpu().double()
    positive = weights @ labels                                                         # [..., M]
    negative = weights.sum(-1, keepdim=True) - positive
    high, low = (positive + 1) / (positive + 2), 1 / (negative + 2)
    goal = torch.where(labels > 0, high.unsqueeze(-2), low.unsqueeze(-2)).mT            # [..., M, N]
    inputs = torch.stack([scores.cpu().double().mT.expand_as(goal), torch.ones_like(goal)], -2)     # [..., M, 2, N]
    counted = weights.unsqueeze(-2)                                                     # [..., 1, N]

    def expansion(line: Tensor) -> tuple[Tensor, Tensor]:
        chance = (line.unsqueeze(-2) @ inputs).squeeze(-2).sigmoid()                    # [..., M, N]
        slope = (inputs @ (counted * (chance - goal)).unsqueeze(-1)).squeeze(-1)        # [..., M, 2]
        bend = (counted * chance * (1 - chance)).unsqueeze(-2)                          # [..., M, 1, N]
        return slope, (inputs * bend) @ inputs.mT + FLAT * torch.eye(2, dtype=inputs.dtype)

    def reach(step: Tensor) -> Tensor:
        return ((step.unsqueeze(-2) @ inputs).squeeze(-2) * counted).abs().amax(-1)

    line = damped_newton(expansion, reach, torch.zeros_like(inputs[..., 0])).to(given)
    return line[..., 0], line[..., 1]


def _last_of_each_class(y: Tensor, share: float) -> Tensor:
    """Return which rows are among the last ``share`` of their class, [N] bool."""
    chosen = torch.zeros_like(y, dtype=torch.bool)
    for label in y.unique():
        rows = (y == label).nonzero().squeeze(-1)
        chosen[rows[len(rows) - int(share * len(rows)):]] = True
    return chosen
