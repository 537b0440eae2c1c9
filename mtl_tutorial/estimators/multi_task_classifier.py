"""Several classification targets, one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from mtl_tutorial.balancing.scalarizer import StaticWeights
from mtl_tutorial.data.table import Table
from mtl_tutorial.estimators.all_or_nothing import all_or_nothing
from mtl_tutorial.estimators.standardise import Standardiser
from mtl_tutorial.inference import predict
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.randomness import draw_seed, weights_drawn_with
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit


class MultiTaskClassifier(ClassifierMixin, BaseEstimator):
    """A shared-bottom network that classifies several targets at once.

    Args:
        widths: hidden layers of the shared body.
        tower: hidden layers of each task's tower.
        task_weights: λ of each task in L = Σ λ_k L_k; all 1 if left out.
        epochs: passes over the rows.
        batch_size: rows per step.
        lr: Adam's step size.
        weight_decay: of Adam.
        device: where to train and predict.
        random_state: int, ``numpy.random.RandomState`` or None; seeds the weights and the order of the rows.

    Attributes:
        classes_: the classes of the target, or a list of them, one per task.
        task_names_: the names of the tasks, in order.
        model_: the trained network.

    ``y`` is [n, tasks], or a dict of name -> [n]; what goes in comes out: ``predict`` returns the same form. A
    one-dimensional target is one task. Features are standardised with the training set's mean and deviation.
    """

    def __init__(self, widths: Sequence[int] = (32,), tower: Sequence[int] = (16,), task_weights=None,
                 epochs: int = 60, batch_size: int = 32, lr: float = 5e-3, weight_decay: float = 1e-4,
                 device: str = "cpu", random_state=None):
        self.widths = widths
        self.tower = tower
        self.task_weights = task_weights
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self):
        """Declare that several targets are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @all_or_nothing
    def fit(self, X, y):
        """Train on X [n, features] and y ([n], [n, tasks], or name -> [n]).

        A call that fails leaves the estimator as it was.

        Raises:
            ValueError: X or y of a wrong shape or with missing values, or continuous targets.
        """
        if isinstance(y, Mapping):
            if not y:
                raise ValueError("y is an empty dict: give at least one target")
            self._form, names = "dict", [str(name) for name in y]
            columns = [column_or_1d(column) for column in y.values()]
            X = validate_data(self, X, dtype=np.float64)
        else:
            X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True)
            y = y if y.ndim == 2 and y.shape[1] > 1 else column_or_1d(y, warn=True)
            self._form = "array" if y.ndim == 2 else "vector"
            columns = [y] if y.ndim == 1 else list(y.T)
            names = [f"task{number}" for number in range(len(columns))]
        check_consistent_length(X, *columns)
        for column in columns:
            check_classification_targets(column)
        classes, codes = zip(*(np.unique(column, return_inverse=True) for column in columns), strict=True)
        self.task_names_ = names
        self.classes_ = classes[0] if self._form == "vector" else list(classes)
        self._standardise = Standardiser.of(X)
        self._tasks = [Task(name, "multiclass", len(values)) for name, values in zip(names, classes, strict=True)]
        weights = self.task_weights if self.task_weights is not None else [1.0] * len(names)
        if len(weights) != len(names):
            raise ValueError(f"task_weights has {len(weights)} entries, but there are {len(names)} tasks")
        table = self._table(X, {name: torch.as_tensor(code) for name, code in zip(names, codes, strict=True)})
        seed = draw_seed(self.random_state)
        with weights_drawn_with(seed):
            model = SharedBottom(table.schema, self._tasks, widths=self.widths, tower=self.tower).double()
        fit(model, table, self._tasks, StaticWeights(weights), epochs=self.epochs, lr=self.lr,
            batch_size=self.batch_size, weight_decay=self.weight_decay, seed=seed, device=self.device)
        self.model_ = model

    def _table(self, X, targets: Mapping[str, torch.Tensor] | None = None) -> Table:
        return Table.from_features(torch.as_tensor(self._standardise(X)), targets=targets or {})

    def _probabilities(self, X) -> list[np.ndarray]:
        check_is_fitted(self, "model_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        found = predict(self.model_, self._table(X), self._tasks)
        return [found[name].numpy() for name in self.task_names_]

    def predict_proba(self, X):
        """Return the class probabilities: [n, classes], a list of them per task, or a dict, as ``y`` was."""
        found = self._probabilities(X)
        if self._form == "dict":
            return dict(zip(self.task_names_, found, strict=True))
        return found[0] if self._form == "vector" else found

    def predict(self, X):
        """Return the likeliest class of each target, in the form that ``y`` had."""
        found = self._probabilities(X)
        if self._form == "vector":
            return self.classes_[found[0].argmax(1)]
        labels = [values[p.argmax(1)] for values, p in zip(self.classes_, found, strict=True)]
        return dict(zip(self.task_names_, labels, strict=True)) if self._form == "dict" else np.stack(labels, 1)

    def score(self, X, y) -> float:
        """Return the accuracy, averaged over tasks."""
        found = self.predict(X)
        if self._form == "dict":
            return float(np.mean([column_or_1d(y[name]) == found[name] for name in self.task_names_]))
        y = check_array(y, ensure_2d=False, dtype=None)
        return float((found == y.reshape(found.shape)).mean())
