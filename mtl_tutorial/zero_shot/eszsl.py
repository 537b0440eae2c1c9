"""ESZSL: a bilinear compatibility of features and attributes, by one closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_tutorial.zero_shot.class_statistics import class_statistics, ridge_by_class
from mtl_tutorial.zero_shot.learner import ZeroShotClassifier


def eszsl_solution(x: Tensor, targets: Tensor, signatures: Tensor, gamma: float, lam: float) -> Tensor:
    """Return V = (XᵀX + γI)⁻¹ XᵀYS (SᵀS + λI)⁻¹, [D, A].

    It minimises ‖X V Sᵀ − Y‖² + γ‖V Sᵀ‖² + λ‖X V‖² + γλ‖V‖², squared Frobenius norms.

    Args:
        x: features X of the rows, [N, D].
        targets: Y, 1 where a row is of a class and −1 elsewhere, [N, C].
        signatures: S of the C seen classes, [C, A].
        gamma: γ, above 0.
        lam: λ, above 0.

    Reference: Romera-Paredes and Torr 2015, An Embarrassingly Simple Approach to Zero-Shot Learning, equation 5
    (whose X and S are the transposes of ours).
    """
    left = x.T @ x + gamma * torch.eye(x.shape[1]).to(x)                                # [D, D]
    right = signatures.T @ signatures + lam * torch.eye(signatures.shape[1]).to(x)      # [A, A]
    middle = torch.linalg.solve(left, x.T @ targets @ signatures)                       # [D, A]
    return torch.linalg.solve(right, middle.T).T


class ESZSL(ZeroShotClassifier):
    """Score a row by x V s, with V from :func:`eszsl_solution`; all splits are solved as one batch.

    Args:
        gamma: strength of the ridge on the features' side.
        lam: strength on the signatures' side.

    Attributes:
        compatibility_: V, [..., D, A].

    Reference: Romera-Paredes and Torr 2015. There both strengths are powers of ten, chosen on seen classes that are
    held out.
    """

    def __init__(self, gamma: float = 10.0, lam: float = 1.0):
        self.gamma, self.lam = gamma, lam

    def _learn(self, x: Tensor, y: Tensor, signatures: Tensor) -> None:
        known = self.seen_.to(x.dtype).unsqueeze(-1)                                    # [..., C, 1]
        taught = known * signatures                                                     # [..., C, A]
        # Y S of a row of class c: its own signature counts 1, all others −1
        targets = 2 * taught - taught.sum(-2, keepdim=True)                             # [..., C, A]
        middle = ridge_by_class(class_statistics(x, y, signatures.shape[-2]), self.seen_, targets, self.gamma)
        right = taught.mT @ taught + self.lam * torch.eye(signatures.shape[-1]).to(x)   # [..., A, A]
        self.compatibility_ = torch.linalg.solve(right, middle.mT).mT                   # [..., D, A]
        self._of_classes = self.compatibility_ @ signatures.mT                          # [..., D, C]

    def _scores(self, x: Tensor) -> Tensor:
        return x @ self._of_classes
