"""DeViSE: features are mapped into the space of texts so that the right text ranks above the others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_tutorial.zero_shot.learner import ZeroShotClassifier


def rank_loss(scores: Tensor, y: Tensor, margin: float, seen: Tensor) -> Tensor:
    """Return Σ over wrong classes of max(0, margin − score of the right one + score of the wrong one), [..., N].

    Args:
        scores: of every class, [..., N, C].
        y: the right class, [N].
        margin: by which the right one should be ahead.
        seen: classes that count as wrong ones, [..., C] bool.

    Reference: Frome et al. 2013, DeViSE: A Deep Visual-Semantic Embedding Model, equation 1.
    """
    right = scores.gather(-1, y.expand(scores.shape[:-1]).unsqueeze(-1))                # [..., N, 1]
    short = (margin - right + scores).clamp(min=0) * seen.unsqueeze(-2)                 # [..., N, C]
    own = F.one_hot(y, scores.shape[-1]).bool()                                         # [N, C]
    return short.masked_fill(own, 0.0).sum(-1)


class DeViSE(ZeroShotClassifier):
    """Learn a linear map M into the signatures' space by the hinge rank loss; a class scores by s · M x.

    M is learned by gradient descent with momentum from zero. Every gradient is a sum of outer products of seen
    classes' signatures with features, so M = Sᵀ Aᵀ all along, with a column of A per class and not a row of M per
    entry of a signature: the same path, at a fraction of the cost. Signatures should have length one, as in the
    paper.

    Args:
        margin: of the loss.
        rate: step size; the loss is averaged over the rows of the batch.
        steps: of gradient descent.
        batch: rows per step and seen class.
        seed: of the order of the rows.

    Reference: Frome et al. 2013. There a network for images comes before the linear map and is tuned as well.
    """

    def __init__(self, margin: float = 0.1, rate: float = 0.1, steps: int = 200, batch: int = 20, seed: int = 0):
        self.margin, self.rate, self.steps, self.batch, self.seed = margin, rate, steps, batch, seed

    def _learn(self, x: Tensor, y: Tensor, signatures: Tensor) -> None:
        classes = signatures.shape[-2]
        kernel = signatures @ signatures.mT                                             # [..., C, C]
        shape = (*self.seen_.shape[:-1], x.shape[1], classes)
        weights, momentum = x.new_zeros(shape), x.new_zeros(shape)                  # A and its step, [..., D, C]
        by_class = [(y == c).nonzero().squeeze(-1) for c in y.unique()]
        draw = torch.Generator().manual_seed(self.seed)
        for _ in range(self.steps):
            rows = torch.cat([own[torch.randint(len(own), (self.batch,), generator=draw).to(own.device)]
                              for own in by_class])
            slope = self._slope(x[rows] @ weights @ kernel, y[rows])                    # [..., B, C]
            momentum = 0.9 * momentum + x[rows].T @ slope
            weights = weights - self.rate * momentum
        self.map_ = weights @ signatures                                                # Mᵀ, [..., D, A]
        self._of_classes = weights @ kernel                                             # [..., D, C]

    def _slope(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the gradient of the mean rank loss over the seen rows with respect to the scores, [..., B, C]."""
        counts = self.seen_[..., y].to(scores.dtype)                                    # [..., B], 1 if seen
        with torch.enable_grad():
            scores = scores.detach().requires_grad_()
            loss = rank_loss(scores, y, self.margin, self.seen_) * counts / counts.sum(-1, keepdim=True)
            return torch.autograd.grad(loss.sum(), scores)[0]

    def _scores(self, x: Tensor) -> Tensor:
        return x @ self._of_classes
