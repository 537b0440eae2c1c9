"""What least squares needs of a class: how many rows, their sum, and their Gram matrix.

The Gram matrix of any set of classes is the sum of the classes' own. So one pass over the rows serves every way
to part the classes into seen and unseen: a split costs one small linear system, all of them solved as one batch.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor


class ClassStatistics(NamedTuple):
    """Sufficient statistics of the rows of C classes with D features."""

    counts: Tensor                              # [C]
    sums: Tensor                                # [C, D]
    grams: Tensor                               # [C, D, D]

    def gram(self, chosen: Tensor) -> Tensor:
        """Return XᵀX of the rows of the chosen classes, [..., C] bool to [..., D, D]."""
        flat = chosen.to(self.grams.dtype) @ self.grams.flatten(1)                      # [..., D · D]
        return flat.unflatten(-1, self.grams.shape[1:])


def class_statistics(x: Tensor, y: Tensor, classes: int) -> ClassStatistics:
    """Sum rows up by class.

    Args:
        x: features, [N, D].
        y: class 0 … C − 1 of each row, [N].
        classes: C; some may have no rows.

    Raises:
        ValueError: labels that do not fit the rows or the classes.
    """
    check_rows(x, y, classes)
    members = (y.unsqueeze(1) == torch.arange(classes, device=y.device)).to(x.dtype)    # [N, C]
    grams = torch.stack([x[y == c].T @ x[y == c] for c in range(classes)])              # [C, D, D]
    return ClassStatistics(members.sum(0), members.T @ x, grams)


def ridge_by_class(
    statistics: ClassStatistics, seen: Tensor, targets: Tensor, ridge: float, towards: Tensor | float = 0.0
) -> Tensor:
    """Solve least squares in which all rows of a class share their target: (XᵀX + ridge·I)⁻¹ (XᵀT + ridge·W₀).

    It minimises ‖XW − T‖² + ridge·‖W − W₀‖².

    Args:
        statistics: of the rows, C classes and D features.
        seen: classes whose rows count, [..., C] bool.
        targets: of each class, [..., C, T].
        ridge: added to the diagonal, above 0.
        towards: W₀, the weights that the penalty pulls to, [..., D, T].

    Returns:
        Weights [..., D, T].

    Raises:
        ValueError: a ridge that is not positive.
    """
    if not ridge > 0:
        raise ValueError(f"ridge={ridge} must be above 0: there are often fewer rows than features")
    gram = statistics.gram(seen)
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor = torch.linalg.cholesky(gram + ridge * eye)                                  # [..., D, D]
    known = seen.to(gram.dtype).unsqueeze(-1) * targets                                 # [..., C, T]
    return torch.cholesky_solve(statistics.sums.T @ known + ridge * towards, factor)    # [..., D, T]


def class_splits(classes: int, unseen: int) -> Tensor:
    """Return every way to hold out ``unseen`` of the classes: which are *seen*, [splits, C] bool.

    Splits are in lexical order of the classes held out.
    """
    held_out = torch.tensor(list(combinations(range(classes), unseen)))                 # [splits, U]
    seen = torch.ones(len(held_out), classes, dtype=torch.bool)
    return seen.scatter(1, held_out, False)


def centred(signatures: Tensor, seen: Tensor) -> Tensor:
    """Return signatures less the mean over the seen classes, [..., C, A].

    What all classes have in common tells none apart, but adds to every product of two signatures.

    Args:
        signatures: of all classes, [C, A]; or each split's own, [..., C, A].
        seen: [..., C] bool.
    """
    weights = seen.to(signatures.dtype).unsqueeze(-2)                                   # [..., 1, C]
    return signatures - weights @ signatures / weights.sum(-1, keepdim=True)


def check_rows(x: Tensor, y: Tensor, classes: int) -> None:
    """Refuse labels that do not fit.

    Raises:
        ValueError: x is not [N, D], y is not [N], or a label is not 0 … C − 1.
    """
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"features must be [N, D] and labels [N], not {list(x.shape)} and {list(y.shape)}")
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise ValueError(f"labels run from {int(y.min())} to {int(y.max())}, but there are {classes} classes, "
                         f"0 … {classes - 1}")
