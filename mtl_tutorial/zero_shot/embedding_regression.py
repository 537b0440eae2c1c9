"""Least squares between features and the vectors of texts, in either direction."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mtl_tutorial.zero_shot.class_statistics import ClassStatistics, class_statistics, ridge_by_class
from mtl_tutorial.zero_shot.learner import ZeroShotClassifier


class EmbeddingRegression(ZeroShotClassifier):
    """Map features into the space of the signatures by ridge regression, or signatures into that of the features.

    Into signatures: a class scores by the product of its signature with the image of the row. Into features: each
    signature has an image x_c among the features, where regression from the mean of the seen classes puts it, and
    a class scores by −‖x − x_c‖². Regression draws what it maps towards the middle. Where that is done to the rows,
    a signature in the middle can become the nearest of all, a *hub*; where it is done to the classes, no row moves.

    Where one encoder made both sides, they fit before anything is learned: x is its own image. Then let the penalty
    pull towards the identity, ‖W − I‖² in place of ‖W‖²; with a strong one what is left is the product of x and
    signature.

    Args:
        ridge: strength of the penalty.
        into: ``"signatures"`` or ``"features"``.
        towards: ``"zero"``, or ``"identity"`` for a map into signatures that are as wide as the features.

    Raises:
        ValueError: another direction, or an identity between spaces of different width.

    Reference: Shigeto et al. 2015, Ridge Regression, Hubness, and Zero-Shot Learning.
    """

    def __init__(
        self,
        ridge: float = 10.0,
        into: Literal["signatures", "features"] = "signatures",
        towards: Literal["zero", "identity"] = "zero",
    ):
        if into not in ("signatures", "features"):
            raise ValueError(f"into is {into!r}, but must be 'signatures' or 'features'")
        if towards not in ("zero", "identity") or (towards == "identity" and into == "features"):
            raise ValueError(f"towards is {towards!r}, but must be 'zero' or, into signatures, 'identity'")
        self.ridge, self.into, self.towards = ridge, into, towards

    def _learn(self, x: Tensor, y: Tensor, signatures: Tensor) -> None:
        statistics = class_statistics(x, y, signatures.shape[-2])
        if self.into == "signatures":
            known = signatures.mT if self.towards == "identity" else 0.0                # W₀ Sᵀ, [..., A, C]
            if self.towards == "identity" and x.shape[-1] != signatures.shape[-1]:
                raise ValueError(f"features have {x.shape[-1]} entries and signatures {signatures.shape[-1]}: no "
                                 "identity maps one into the other; use towards='zero'")
            self._factor = ridge_by_class(statistics, self.seen_, signatures @ signatures.mT, self.ridge, known)
            self._offset = 0.0
        else:
            places = _features_of(signatures, statistics, self.seen_, self.ridge)       # [..., C, D]
            self._factor, self._offset = 2 * places.mT, -places.square().sum(-1).unsqueeze(-2)

    def _scores(self, x: Tensor) -> Tensor:
        scores = x @ self._factor + self._offset                                        # [..., N, C]
        return scores if self.into == "signatures" else scores - x.square().sum(-1, keepdim=True)


def _features_of(signatures: Tensor, statistics: ClassStatistics, seen: Tensor, ridge: float) -> Tensor:
    """Predict each class's features from its signature, [..., C, D].

    In the dual form the linear system has a row per class, not per entry of a signature: the prediction for a new
    class is a weighted sum of the seen classes' means, with the weights of kernel ridge regression.
    """
    counts = seen.to(signatures.dtype) * statistics.counts                              # [..., C]
    root = counts.sqrt().unsqueeze(-1)                                                  # [..., C, 1]
    kernel = signatures @ signatures.mT                                                 # [..., C, C]
    means = statistics.sums / statistics.counts.clamp(min=1).unsqueeze(-1)              # [C, D]
    middle = (counts @ means / counts.sum(-1, keepdim=True)).unsqueeze(-2)              # [..., 1, D]
    system = root * kernel * root.mT                                                    # of the rows √n · mean
    system.diagonal(dim1=-2, dim2=-1).add_(ridge)
    return middle + (kernel * root.mT) @ torch.linalg.solve(system, root * (means - middle))    # [..., C, D]
