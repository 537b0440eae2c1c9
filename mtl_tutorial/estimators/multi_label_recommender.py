"""Several yes-or-no labels of one row, a sigmoid each, from user and item features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from mtl_tutorial.data.table import Table
from mtl_tutorial.estimators.all_or_nothing import all_or_nothing
from mtl_tutorial.estimators.standardise import Standardiser
from mtl_tutorial.inference import predict
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.randomness import draw_seed, weights_drawn_with
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit


class MultiLabelRecommender(BaseEstimator):
    """One body for all labels and one sigmoid per label: any number of labels may hold at once.

    Args:
        widths: hidden layers of the shared body; empty makes it a logistic regression per label.
        tower: hidden layers of each label's own tower.
        epochs: passes over the rows.
        batch_size: rows per step.
        lr: Adam's step size.
        weight_decay: of Adam.
        device: where to train and predict.
        random_state: int, ``numpy.random.RandomState`` or None; seeds the weights and the order of the rows.

    Attributes:
        labels_: the names of the L labels, in order.
        model_: the trained network.

    ``Y`` is [n, L] of 0 and 1, or a dict of name -> [n]; what goes in comes out. ``mask``, in the form of ``Y``,
    leaves out of the loss the labels that were not observed. Features are standardised with the training set's mean
    and deviation. Before the first step every row is given the labels' shares.
    """

    def __init__(self, widths: Sequence[int] = (32,), tower: Sequence[int] = (), epochs: int = 20,
                 batch_size: int = 64, lr: float = 5e-3, weight_decay: float = 1e-4, device: str = "cpu",
                 random_state=None):
        self.widths = widths
        self.tower = tower
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    @all_or_nothing
    def fit(self, X, Y, mask=None):
        """Train on features X [n, features] and labels Y, where ``mask`` is true (everywhere if left out).

        A call that fails leaves the estimator as it was.

        Raises:
            ValueError: X or Y of a wrong shape, a label other than 0 and 1 (naming label and row), or a label that
                was observed in no row.
        """
        X = validate_data(self, X, dtype=np.float64)
        self._as_dict = isinstance(Y, Mapping)
        self.labels_ = [str(name) for name in Y] if self._as_dict else \
            [f"label{number}" for number in range(np.shape(Y)[1] if np.ndim(Y) == 2 else 0)]
        Y, mask = self._labels(Y, mask, len(X))
        empty = [name for name, seen in zip(self.labels_, mask.any(0), strict=True) if not seen]
        if empty:
            raise ValueError(f"label {empty[0]!r} was observed in no row")
        self._standardise = Standardiser.of(X)
        self._tasks = [Task(name) for name in self.labels_]
        table = self._table(X, targets=dict(zip(self.labels_, torch.as_tensor(Y).unbind(1), strict=True)),
                            masks=dict(zip(self.labels_, torch.as_tensor(mask).unbind(1), strict=True)))
        seed = draw_seed(self.random_state)
        with weights_drawn_with(seed):
            model = SharedBottom(table.schema, self._tasks, widths=self.widths, tower=self.tower).double()
        share = torch.as_tensor((Y.sum(0) + 0.5) / (mask.sum(0) + 1))                   # [L], never 0 or 1
        model.towers.start_at(share.logit())
        fit(model, table, self._tasks, epochs=self.epochs, batch_size=self.batch_size, lr=self.lr,
            weight_decay=self.weight_decay, seed=seed, device=self.device, description="multi-label recommender")
        self.model_ = model

    def _labels(self, Y, mask, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return labels and mask as [n, L], 0 where a label was not observed."""
        Y = self._side_by_side(Y, "Y", rows).astype(np.float64)
        mask = np.ones(Y.shape, bool) if mask is None else self._side_by_side(mask, "mask", rows).astype(bool)
        wrong = np.argwhere(mask & ~np.isin(Y, (0, 1)))
        if len(wrong):
            row, label = wrong[0]
            raise ValueError(f"label {self.labels_[label]!r}, row {row} is {Y[row, label]:g}: labels are 0 or 1; "
                             "mask those that were not observed")
        return np.where(mask, Y, 0.0), mask

    def _side_by_side(self, values, name: str, rows: int) -> np.ndarray:
        """Return labels or their mask as [n, L]."""
        if isinstance(values, Mapping) != self._as_dict:
            raise ValueError(f"{name} must be {'a dict' if self._as_dict else 'an array'}, as Y was in fit")
        if self._as_dict:
            if sorted(map(str, values)) != sorted(self.labels_) or not self.labels_:
                raise ValueError(f"{name} has the labels {', '.join(map(str, values)) or 'none'}, "
                                 f"expected {', '.join(self.labels_) or 'at least one'}")
            columns = {str(label): np.asarray(column) for label, column in values.items()}
            for label, column in columns.items():
                if column.shape != (rows,):
                    raise ValueError(f"{name}[{label!r}] has shape {column.shape}, X says {rows} rows")
            return np.stack([columns[label] for label in self.labels_], 1)
        values = np.asarray(values)
        if values.shape != (rows, len(self.labels_)) or not self.labels_:
            raise ValueError(f"{name} has shape {values.shape}, expected ({rows}, {len(self.labels_) or 'labels'})")
        return values

    def _table(self, X, **columns) -> Table:
        return Table.from_features(torch.as_tensor(self._standardise(X)), **columns)

    def _probabilities(self, X) -> np.ndarray:
        check_is_fitted(self, "model_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        found = predict(self.model_, self._table(X), self._tasks)
        return np.stack([found[name].numpy() for name in self.labels_], 1)              # [n, L]

    def _as_given(self, values: np.ndarray):
        return dict(zip(self.labels_, values.T, strict=True)) if self._as_dict else values

    def predict_proba(self, X):
        """Return the probability that each label holds, [n, L] or name -> [n]; they do not sum to 1."""
        return self._as_given(self._probabilities(X))

    def predict(self, X):
        """Return 1 where a label is likelier than not, in the form of ``Y``."""
        return self._as_given((self._probabilities(X) > 0.5).astype(np.int64))

    def score(self, X, Y, mask=None) -> float:
        """Return the subset accuracy: the share of rows whose observed labels are all right.

        It is scikit-learn's accuracy of several labels, and a hard measure: one wrong label spoils the row.
        """
        found = self._probabilities(X) > 0.5
        Y, mask = self._labels(Y, mask, len(found))
        return float(((found == Y) | ~mask).all(1).mean())
