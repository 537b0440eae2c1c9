"""A classifier (or regressor) that learns from many small tasks how to learn the next one."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn

from mtl_tutorial.estimators.all_or_nothing import all_or_nothing
from mtl_tutorial.layers.task_mlp import TaskMLP
from mtl_tutorial.meta.anil import ANIL
from mtl_tutorial.meta.episodes import Episodes, all_rows, blanked, validate, validate_classes
from mtl_tutorial.meta.fine_tuning import FineTuning
from mtl_tutorial.meta.learner import EpisodeLearner
from mtl_tutorial.meta.losses import cross_entropy, squared_error
from mtl_tutorial.meta.maml import MAML
from mtl_tutorial.meta.meta_sgd import MetaSGD
from mtl_tutorial.meta.meta_training import meta_fit
from mtl_tutorial.meta.proto_net import ProtoNet
from mtl_tutorial.meta.reptile import Reptile
from mtl_tutorial.meta.task_pool import TaskPool
from mtl_tutorial.randomness import draw_seed, weights_drawn_with

GRADIENT_METHODS = {"maml": MAML, "anil": ANIL, "meta_sgd": MetaSGD, "reptile": Reptile, "fine_tuning": FineTuning}
ALGORITHMS = (*GRADIENT_METHODS, "first_order_maml", "proto_net")


class MetaLearner(BaseEstimator):
    """Learn from many tasks; then predict in a new one from a few rows of it, its support set.

    Args:
        module: any network, mapping [N, …] to logits [N, C], to numbers [N, 1] or, for ``"proto_net"``, to
            embeddings [N, D]. It is copied. A small perceptron if left out.
        algorithm: ``"maml"``, ``"first_order_maml"``, ``"anil"``, ``"meta_sgd"``, ``"reptile"``, ``"proto_net"``;
            or their rival ``"fine_tuning"``: pooled training, then the same steps as MAML.
        kind: ``"multiclass"``, or ``"regression"`` (not for ``"proto_net"``).
        shots: support rows in training, of each class, or of each task for regression.
        inner_lr: step size of the adaptation.
        inner_steps: of the adaptation.
        head: for ``"anil"``: name of the submodule that adapts.
        steps: of training.
        tasks_per_step: tasks in each.
        lr: Adam's step size in training.
        device: where to train and predict.
        random_state: int, ``numpy.random.RandomState`` or None; seeds the weights and the draws.

    Attributes:
        classes_: the classes of all tasks, of which every task has each (not for regression).
        model_: the trained network.
        losses_: mean over the tasks of each training step, [steps]: of the loss on query rows after adaptation; for
            ``"reptile"`` after adaptation to all rows, for ``"fine_tuning"`` on all rows before any.

    Floating-point features are standardised with the mean and deviation of all training rows, support and query;
    integers (ids) are passed on as they are. Learning that fails leaves the estimator as it was.
    """

    def __init__(self, module: nn.Module | None = None, algorithm: str = "maml", kind: str = "multiclass",
                 shots: int = 5, inner_lr: float = 0.1, inner_steps: int = 3, head: str = "head", steps: int = 300,
                 tasks_per_step: int = 16, lr: float = 3e-3, device: str = "cpu", random_state=None):
        self.module = module
        self.algorithm = algorithm
        self.kind = kind
        self.shots = shots
        self.inner_lr = inner_lr
        self.inner_steps = inner_steps
        self.head = head
        self.steps = steps
        self.tasks_per_step = tasks_per_step
        self.lr = lr
        self.device = device
        self.random_state = random_state

    @all_or_nothing
    def learn(self, tasks: Sequence[tuple] | Episodes):
        """Learn from tasks.

        Args:
            tasks: (x [n, …], y [n]) of each, of any sizes, parted anew into support and query at every step; or
                :class:`~mtl_tutorial.meta.episodes.Episodes`, which keep their parts.

        Raises:
            ValueError: an unknown algorithm or kind, tasks whose features differ in shape, a task with too few rows
                of a class, or without any, NaN, a module that does not map such rows to such outputs.
        """
        self._check_settings()
        seed = draw_seed(self.random_state)
        generator = torch.Generator().manual_seed(seed)
        if isinstance(tasks, Episodes):
            draw = self._from_episodes(tasks, generator)
        else:
            draw = self._from_pairs(tasks, generator)
        first = draw(0)
        with weights_drawn_with(seed):
            self._learner = self._new_learner().to(self.device)
            self._refuse_unfit_module(first)
            history = meta_fit(self._learner, lambda step: draw(step) if step else first, steps=self.steps,
                               lr=self.lr, description="meta-learning")
        self.model_, self.losses_ = self._learner.model, history.losses[:, 0].cpu().numpy()

    def _check_settings(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm {self.algorithm!r} is none of {', '.join(ALGORITHMS)}")
        if self.kind not in ("multiclass", "regression"):
            raise ValueError(f"kind {self.kind!r} is neither 'multiclass' nor 'regression'")
        if self.kind == "regression" and self.algorithm == "proto_net":
            raise ValueError("proto_net classifies by the nearest class: there are no classes in a regression")
        if self.tasks_per_step < 1:
            raise ValueError(f"tasks_per_step={self.tasks_per_step} must be at least 1")

    @torch.no_grad()
    def _refuse_unfit_module(self, tasks: Episodes) -> None:
        x, model = tasks.support_x[0], self._learner.model.eval()
        try:
            found = list(model(x).shape)
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"module does not take rows {x.dtype} {list(x.shape)}: {error}") from error
        width = None if self.algorithm == "proto_net" else len(self.classes_) if self.kind == "multiclass" else 1
        if len(found) != 2 or found[0] != len(x) or width not in (None, found[1]):
            raise ValueError(f"module maps rows {list(x.shape)} to {found}, expected {[len(x), width or 'D']}: for "
                             f"algorithm={self.algorithm!r} and kind={self.kind!r}")

    def _from_pairs(self, tasks: Sequence[tuple], generator: torch.Generator):
        tasks = [(np.asarray(x), np.asarray(y)) for x, y in tasks]
        if not tasks:
            raise ValueError("there are no tasks to learn from")
        for number, (x, y) in enumerate(tasks):
            if x.ndim < 2 or y.shape != (len(x),) or x.shape[1:] != tasks[0][0].shape[1:]:
                raise ValueError(f"task {number}: x has shape {x.shape}, y {y.shape}; expected (rows, "
                                 f"{', '.join(map(str, tasks[0][0].shape[1:]))}) and (rows,)")
        self._scale_by(np.concatenate([x for x, _ in tasks]))
        if self.kind == "multiclass":
            self.classes_ = np.unique(np.concatenate([y for _, y in tasks]))
            if len(self.classes_) < 2:
                raise ValueError(f"all tasks hold the one class {self.classes_.tolist()}: nothing to tell apart")
        xs = [self._inputs(x) for x, _ in tasks]
        ys = [self._targets(y, f"task {number}: y") for number, (_, y) in enumerate(tasks)]
        pool = TaskPool(xs, ys, ys if self.kind == "multiclass" else None)
        self._refuse_short_tasks(pool)
        return lambda step: pool.draw(torch.randint(len(pool), (self.tasks_per_step,), generator=generator),
                                      self.shots, generator).to(self.device)

    def _refuse_short_tasks(self, pool: TaskPool) -> None:
        if self.shots < 1:
            raise ValueError(f"shots={self.shots} must be at least 1")
        for task, counts in enumerate(pool.counts.tolist()):
            for group, found in enumerate(counts):
                if found < self.shots:
                    of = f" of class {self.classes_.tolist()[group]!r}" if self.kind == "multiclass" else ""
                    raise ValueError(f"task {task} has {found} rows{of}, fewer than shots={self.shots}")
            if sum(counts) == self.shots * len(counts):
                raise ValueError(f"task {task}: its support would take all {sum(counts)} rows, none is left to be "
                                 "judged on")

    def _from_episodes(self, tasks: Episodes, generator: torch.Generator):
        validate(tasks)
        x, _, mask = all_rows(tasks)
        self._scale_by((x.flatten(0, 1) if mask is None else x[mask]).numpy(force=True))
        (support_x, support_y), (query_x, query_y) = blanked(*tasks.support), blanked(*tasks.query)
        if self.kind == "multiclass":
            self.classes_ = np.arange(int(support_y.max()) + 1)
            validate(tasks, len(self.classes_))
        scaled = tasks._replace(
            support_x=self._inputs(support_x), support_y=self._targets(support_y, "support_y"),
            query_x=self._inputs(query_x), query_y=self._targets(query_y, "query_y"))
        size = min(self.tasks_per_step, tasks.tasks)
        return lambda step: scaled.take(torch.randperm(tasks.tasks, generator=generator)[:size]).to(self.device)

    def _scale_by(self, x: np.ndarray) -> None:
        self._row_shape, self._mean, self._deviation = x.shape[1:], 0.0, 1.0
        self._numbers = np.issubdtype(x.dtype, np.floating)
        if self._numbers:
            deviation = x.std(0)
            self._mean, self._deviation = x.mean(0), np.where(deviation > 0, deviation, 1.0)

    def _inputs(self, x) -> Tensor:
        x = np.asarray(x)
        if np.issubdtype(x.dtype, np.floating) != self._numbers:
            kinds = ("integers, ids" if not self._numbers else "floating-point numbers")
            raise ValueError(f"x holds {x.dtype}, but the first tasks held {kinds}: convert it, x.astype(…)")
        if self._numbers:
            if not np.isfinite(x).all():
                raise ValueError("x holds NaN or infinite values")
            return torch.as_tensor((x - self._mean) / self._deviation, dtype=torch.float32)
        return torch.as_tensor(x)

    def _targets(self, y, what: str) -> Tensor:
        y = np.asarray(y)
        if np.issubdtype(y.dtype, np.floating) and not np.isfinite(y).all():
            raise ValueError(f"{what} holds NaN or infinite values")
        if self.kind == "regression":
            numbers = torch.as_tensor(y, dtype=torch.float32)
            return numbers if numbers.dim() == 3 else numbers.unsqueeze(-1)             # [n, 1] or [T, N, 1]
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"{what} holds labels that no task was learned with: {unknown[:3].tolist()}; "
                             f"there are {self.classes_.tolist()[:10]}")
        return torch.as_tensor(np.searchsorted(self.classes_, y))

    def _new_learner(self) -> EpisodeLearner:
        outputs = len(self.classes_) if self.kind == "multiclass" else 1
        model = copy.deepcopy(self.module)
        if model is None:
            if len(self._row_shape) != 1:
                raise ValueError(f"rows have shape {self._row_shape}: give a module that takes them, or flat rows")
            model = TaskMLP(self._row_shape[0], (32, 32), 16 if self.algorithm == "proto_net" else outputs)
        if self.algorithm == "proto_net":
            return ProtoNet(model, outputs)
        loss = cross_entropy if self.kind == "multiclass" else squared_error
        if self.algorithm == "first_order_maml":
            return MAML(model, loss, self.inner_lr, self.inner_steps, first_order=True)
        special = {"head": self.head} if self.algorithm == "anil" else {}
        return GRADIENT_METHODS[self.algorithm](model, loss, self.inner_lr, self.inner_steps, **special)

    @torch.no_grad()
    def _outputs(self, x, support: tuple) -> Tensor:
        if not hasattr(self, "model_"):
            raise NotFittedError("this MetaLearner has not learned yet: call learn(tasks) first")
        if not isinstance(support, (tuple, list)) or len(support) != 2:
            raise ValueError(f"support must be a pair (x, y) of the task's known rows, not {type(support).__name__}"
                             f"{f' of {len(support)}' if hasattr(support, '__len__') else ''}")
        support_x, support_y = np.asarray(support[0]), np.asarray(support[1])
        x = np.asarray(x)
        for name, rows in (("x", x), ("support x", support_x)):
            if rows.ndim < 2 or rows.shape[1:] != self._row_shape:
                raise ValueError(f"{name} has shape {rows.shape}; a row was learned with shape {self._row_shape}")
        if support_y.shape != (len(support_x),) or len(support_x) == 0:
            raise ValueError(f"support x has {len(support_x)} rows, support y has shape {support_y.shape}: "
                             "expected one target for each row, and at least one row")
        targets = self._targets(support_y, "support y").unsqueeze(0)
        if self.kind == "multiclass":
            try:
                validate_classes(targets, None, len(self.classes_))
            except ValueError:
                missing = np.setdiff1d(self.classes_, support_y).tolist()
                raise ValueError(f"the support set has no row of class {missing[0]!r}: it needs one of each of "
                                 f"{self.classes_.tolist()[:10]}") from None
        adapted = self._learner.adapt(self._inputs(support_x).unsqueeze(0).to(self.device), targets.to(self.device))
        return self._learner.predict(adapted, self._inputs(x).unsqueeze(0).to(self.device))[0].cpu()

    def predict_proba(self, x, support: tuple) -> np.ndarray:
        """Return the probabilities of the classes in a new task, [n, C].

        Args:
            x: rows to classify, [n, …].
            support: (x, y) of the task's known rows, at least one of each class.

        Raises:
            AttributeError: of a regression there are none.
            ValueError: rows of another shape, a class without support, labels that no task was learned with.
        """
        if self.kind == "regression":
            raise AttributeError("predict_proba is for kind='multiclass'; this is a regression")
        return self._outputs(x, support).softmax(-1).numpy()

    def predict(self, x, support: tuple) -> np.ndarray:
        """Return the likeliest classes, or the numbers, in a new task, [n]; arguments as for `predict_proba`."""
        outputs = self._outputs(x, support)
        if self.kind == "regression":
            return outputs.squeeze(-1).numpy()
        return self.classes_[outputs.argmax(-1).numpy()]

    def score(self, x, y, support: tuple) -> float:
        """Return the accuracy in a new task, or R² of a regression."""
        found, y = self.predict(x, support), np.asarray(y)
        if found.shape != y.shape:
            raise ValueError(f"y has shape {y.shape}, x has {len(found)} rows")
        if self.kind == "regression":
            return float(1 - ((y - found) ** 2).sum() / ((y - y.mean()) ** 2).sum())
        return float((found == y).mean())
