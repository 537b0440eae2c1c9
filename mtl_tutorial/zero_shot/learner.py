"""What the zero-shot classifiers of this package share: a score for every class, and a choice among some."""

from __future__ import annotations

from abc import abstractmethod

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from mtl_tutorial.zero_shot.class_statistics import check_rows
from mtl_tutorial.zero_shot.harmonic import per_class_accuracy


class ZeroShotClassifier(BaseEstimator):
    """Learns from the rows of the seen classes; scores every class that has a signature.

    A signature is what is known of a class without a picture of it: its attributes, or the vector of a text. All
    splits of the classes may be learned at once: ``seen`` then has a row for each, and results have a leading
    dimension of splits.
    """

    def fit(self, x: Tensor, y: Tensor, signatures: Tensor, seen: Tensor | None = None) -> ZeroShotClassifier:
        """Learn from the rows of the seen classes; other rows have no influence.

        Args:
            x: features, [N, D]. Add a column of ones for an intercept.
            y: class 0 … C − 1 of each row, [N].
            signatures: of all classes, seen and unseen, [C, A]; or each split's own, [..., C, A].
            seen: the classes to learn from, [C] or, of many splits, [..., C] bool; by default those that have rows.

        Raises:
            ValueError: shapes that do not fit, numbers that are not finite, a split without two seen classes, or
                one that has no row.
        """
        classes, signatures = signatures.shape[-2], signatures.to(x)
        check_rows(x, y, classes)
        for name, numbers in (("x", x), ("signatures", signatures)):
            if not numbers.isfinite().all():
                place = (~numbers.isfinite()).nonzero()[0].tolist()
                raise ValueError(f"{name} holds a number that is not finite, at {place}")
        present = torch.bincount(y, minlength=classes) > 0                              # [C]
        self.seen_ = present if seen is None else seen
        if self.seen_.shape[-1] != classes:
            raise ValueError(f"seen speaks of {self.seen_.shape[-1]} classes, but there are {classes} signatures")
        if (self.seen_.sum(-1) < 2).any():
            raise ValueError("a split has fewer than two seen classes: there is nothing to tell apart")
        if (self.seen_ & ~present).any():
            lost = int((self.seen_ & ~present).nonzero()[0, -1])
            raise ValueError(f"class {lost} is called seen but has no row: leave it out of seen")
        self._learn(x, y, signatures)
        return self

    @abstractmethod
    def _learn(self, x: Tensor, y: Tensor, signatures: Tensor) -> None:
        """Learn from checked arguments; ``self.seen_`` is set."""

    def decision_function(self, x: Tensor) -> Tensor:
        """Return a score for every class, features [N, D] to [..., N, C].

        Raises:
            NotFittedError: ``fit`` was not called.
        """
        check_is_fitted(self, "seen_")
        return self._scores(x)

    @abstractmethod
    def _scores(self, x: Tensor) -> Tensor:
        """Return the scores [..., N, C] of a fitted classifier."""

    def predict(self, x: Tensor, among: Tensor | None = None) -> Tensor:
        """Return the class of the highest score, features [N, D] to [..., N].

        Args:
            x: features, [N, D].
            among: the classes to choose from, [..., C] bool. By default those unseen: the classical setting, which
                takes for granted that no row is of a seen class. All classes: the generalised one.
        """
        scores = self.decision_function(x)
        return predicted(scores, ~self.seen_ if among is None else among)

    def score(self, x: Tensor, y: Tensor, among: Tensor | None = None) -> Tensor:
        """Return the share of right answers per class, averaged over the *unseen* classes, [...].

        Args:
            x: features, [N, D].
            y: class of each row, [N]; rows of seen classes do not count.
            among: the classes to choose from, [..., C] bool; by default the unseen ones.
        """
        return per_class_accuracy(self.predict(x, among), y, ~self.seen_)


def predicted(scores: Tensor, among: Tensor) -> Tensor:
    """Return the class of the highest score among some, [..., N, C] and [..., C] bool to [..., N]."""
    return scores.masked_fill(~among.unsqueeze(-2), -torch.inf).argmax(-1)
