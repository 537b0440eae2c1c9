"""Collaborative filtering and content joined, with a class output and a regression output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from mtl_tutorial.balancing.scalarizer import StaticWeights
from mtl_tutorial.data.table import Table
from mtl_tutorial.estimators.columns import Columns, check_targets, tasks_of
from mtl_tutorial.inference import predict
from mtl_tutorial.models.hybrid import VIEWS, Hybrid
from mtl_tutorial.randomness import draw_seed, weights_drawn_with
from mtl_tutorial.training import fit


class HybridRecommender(BaseEstimator):
    """What a user will do with an item, from two views of the pair and for several tasks at once.

    Args:
        tasks: names of the table's targets; integers are classes, floats that are all 0 or 1 are binary, others
            regression.
        weights: λ of each task in L = Σ λ_k L_k; all 1 if left out.
        views: ``"collaborative"`` (user and item ids), ``"content"`` (all other columns), or both.
        user: field with the user's id.
        item: field with the item's id.
        dim: of the embeddings.
        widths: hidden layers of the body that reads the joined views.
        tower: hidden layers of each task's head.
        epochs: passes over the rows.
        batch_size: rows per step.
        lr: Adam's step size.
        weight_decay: of Adam.
        device: where to train and predict.
        random_state: int, ``numpy.random.RandomState`` or None; seeds the weights and the order of the rows.

    Attributes:
        tasks_: the tasks with their kinds, in order.
        columns_: the fields, vocabularies and number of numeric features that it knows.
        model_: the trained network.
    """

    def __init__(self, tasks: Sequence[str] = ("purchase", "spend"), weights: Sequence[float] | None = None,
                 views: Sequence[str] = VIEWS, user: str = "user", item: str = "item", dim: int = 8,
                 widths: Sequence[int] = (64,), tower: Sequence[int] = (16,), epochs: int = 5,
                 batch_size: int = 256, lr: float = 5e-3, weight_decay: float = 1e-5, device: str = "cpu",
                 random_state=None):
        self.tasks = tasks
        self.weights = weights
        self.views = views
        self.user = user
        self.item = item
        self.dim = dim
        self.widths = widths
        self.tower = tower
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    def fit(self, table: Table, validation: Table | None = None):
        """Train on a table; with ``validation`` rows keep the best weights seen, looking once per epoch.

        Raises:
            ValueError: a field or target that the table lacks or that is named twice, a number of weights that is
                not that of the tasks, a view that is unknown or has no columns, or validation rows with other
                columns, without a target or with a class that the table does not have.
        """
        columns = Columns.of(table)
        for field in (self.user, self.item):
            if field not in columns.names:
                raise ValueError(f"no field {field!r}; the table's fields are {', '.join(columns.names) or 'none'}")
        if self.user == self.item:
            raise ValueError(f"user and item are both the field {self.user!r}: a pair needs two")
        tasks = tasks_of(table, self.tasks)
        weights = self.weights if self.weights is not None else [1.0] * len(tasks)
        if len(weights) != len(tasks):
            raise ValueError(f"weights has {len(weights)} entries, but there are {len(tasks)} tasks")
        table = columns.check(table, "the table")
        if validation is not None:
            validation = columns.check(validation, "the validation table")
            check_targets(validation, tasks, "the validation table")
        seed = draw_seed(self.random_state)
        with weights_drawn_with(seed):
            model = Hybrid(columns.schema, tasks, (columns.names.index(self.user), columns.names.index(self.item)),
                           self.views, self.dim, self.widths, self.tower)
        fit(model, table, tasks, StaticWeights(weights), epochs=self.epochs, batch_size=self.batch_size, lr=self.lr,
            weight_decay=self.weight_decay, seed=seed, device=self.device, validation=validation,
            description="hybrid recommender")
        self.columns_, self.tasks_, self.model_ = columns, tasks, model
        return self

    def _predictions(self, pairs: Table) -> dict[str, np.ndarray]:
        check_is_fitted(self, "model_")
        found = predict(self.model_, self.columns_.check(pairs, "the table of pairs"), self.tasks_)
        return {name: values.numpy() for name, values in found.items()}

    def predict_proba(self, pairs: Table) -> dict[str, np.ndarray]:
        """Return class task -> the probability of each class, [N, C]; regression has none."""
        found = self._predictions(pairs)
        return {task.name: np.stack([1 - found[task.name], found[task.name]], 1) if task.kind == "binary"
                else found[task.name] for task in self.tasks_ if task.kind != "regression"}

    def predict(self, pairs: Table) -> dict[str, np.ndarray]:
        """Return task -> the likeliest class, or the mean, [N] each."""
        found = self._predictions(pairs)
        return {task.name: {"binary": lambda value: (value > 0.5).astype(np.int64),
                            "multiclass": lambda value: value.argmax(1),
                            "regression": lambda value: value}[task.kind](found[task.name]) for task in self.tasks_}

    def scores(self, table: Table) -> dict[str, float]:
        """Return task -> scikit-learn's default score over the rows observed: accuracy of a class, R² of a mean.

        Raises:
            NotFittedError: before :meth:`fit`.
            ValueError: other columns, or a target that is missing, observed nowhere or with a class never learned.
        """
        found = self.predict(table)
        check_targets(table, self.tasks_, "the table to score")
        scores = {}
        for task in self.tasks_:
            mask = table.mask(task.name)
            labels, ours = table.targets[task.name][mask].numpy(), found[task.name][mask.numpy()]
            score = r2_score(labels, ours) if task.kind == "regression" else (labels == ours).mean()
            scores[task.name] = float(score)
        return scores

    def score(self, table: Table) -> float:
        """Return the mean of :meth:`scores`; where a class is rare, look at the probabilities instead."""
        return float(np.mean(list(self.scores(table).values())))
