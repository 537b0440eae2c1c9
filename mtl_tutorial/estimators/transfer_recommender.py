"""A recommender learned on one domain and carried to another."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import nn

from mtl_tutorial.data.table import Table
from mtl_tutorial.estimators.all_or_nothing import all_or_nothing
from mtl_tutorial.estimators.columns import Columns, check_targets, tasks_of
from mtl_tutorial.inference import predict
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.randomness import draw_seed, weights_drawn_with
from mtl_tutorial.training import fit
from mtl_tutorial.transfer.freezing import freeze, unfreeze
from mtl_tutorial.transfer.l2_sp import L2SP
from mtl_tutorial.transfer.lora import with_lora

METHODS = ("full", "frozen", "lora", "discriminative", "l2_sp")


class TransferRecommender(BaseEstimator):
    """Will this user act on this item: learned from a source with many rows, carried to a target with few.

    ``TransferRecommender().pretrain(source).finetune(target).predict(pairs)``. All three are tables with the same
    columns; several source domains are one table of all their rows.

    Args:
        method: what the target's rows may move: all weights (``"full"``), the head alone (``"frozen"``), the head
            and an update of low rank in the body (``"lora"``), all weights but those near the input slower
            (``"discriminative"``), or all weights on a leash to where they started (``"l2_sp"``).
        target: name of the binary target; may be left out where the source has one target alone.
        dim: of the embeddings.
        widths: hidden layers of the body.
        tower: hidden layers of the head.
        epochs: passes over the source.
        finetune_epochs: passes over the target.
        batch_size: rows per step.
        lr: Adam's step size on the source.
        finetune_lr: Adam's step size on the target; of the head, where the method is discriminative.
        rank: of the updates of LoRA.
        decay: factor from the head's step size to the body's, and from the body's to the embeddings'.
        leash: α of L2-SP, the pull towards the pretrained weights.
        weight_decay: of Adam.
        device: where to train and predict.
        random_state: int, ``numpy.random.RandomState`` or None; seeds the weights and the order of the rows.

    Attributes:
        columns_: the fields, vocabularies and number of numeric features of the source.
        task_: the task.
        source_model_: the network as pretrained; fine-tuning leaves it as it is.
        model_: the network fine-tuned last.
    """

    def __init__(self, method: str = "full", target: str | None = None, dim: int = 8, widths: Sequence[int] = (64,),
                 tower: Sequence[int] = (16,), epochs: int = 3, finetune_epochs: int = 20, batch_size: int = 256,
                 lr: float = 5e-3, finetune_lr: float = 1e-3, rank: int = 4, decay: float = 0.3, leash: float = 0.1,
                 weight_decay: float = 1e-5, device: str = "cpu", random_state=None):
        self.method = method
        self.target = target
        self.dim = dim
        self.widths = widths
        self.tower = tower
        self.epochs = epochs
        self.finetune_epochs = finetune_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.finetune_lr = finetune_lr
        self.rank = rank
        self.decay = decay
        self.leash = leash
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    @all_or_nothing
    def pretrain(self, source: Table, validation: Table | None = None):
        """Learn from the source; with ``validation`` rows keep the best weights seen, looking once per epoch.

        A call that fails leaves the estimator as it was.

        Raises:
            ValueError: an unknown method or one without the layers that it is about, several targets and none
                named, a target that is not binary, rows out of the vocabulary, or validation rows with other
                columns or without the label.
        """
        if self.target is None and len(source.targets) != 1:
            raise ValueError(f"the source has the targets {', '.join(sorted(source.targets)) or 'none'}: "
                             "name one with target=")
        columns = Columns.of(source)
        [task] = tasks_of(source, [self.target or next(iter(source.targets))])
        if task.kind != "binary":
            raise ValueError(f"target {task.name!r} is {task.kind}: this recommender learns floats of 0 and 1")
        source = columns.check(source, "the source")
        self._check_method(columns)
        self._seed = draw_seed(self.random_state)
        with weights_drawn_with(self._seed):
            model = SharedBottom(columns.schema, [task], self.dim, self.widths, self.tower)
        self.columns_, self.task_ = columns, task
        self._train(model, source, validation, self.epochs, self.lr, "pretraining")
        self.source_model_ = model
        vars(self).pop("model_", None)      # it came from another source

    def finetune(self, target: Table, validation: Table | None = None):
        """Learn from the target, starting from the pretrained weights each time it is called.

        Raises:
            NotFittedError: before :meth:`pretrain`.
            ValueError: a target (or validation rows) with other columns, with categories outside the source's
                vocabulary, or without the label; a method as in :meth:`pretrain`.
        """
        self._need_source("finetune")
        self._check_method(self.columns_)
        target = self.columns_.check(target, "the target")
        check_targets(target, [self.task_], "the target")
        model, lr = self._released()
        trained = L2SP(model, self.leash, beta=0.0) if self.method == "l2_sp" else model
        self._train(trained, target, validation, self.finetune_epochs, lr, "fine-tuning")
        self.model_ = model
        return self

    def _check_method(self, columns: Columns) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r} is none of {', '.join(METHODS)}")
        if self.method in ("lora", "discriminative") and not self.widths:
            raise ValueError(f"method {self.method!r} needs layers in the body, but widths is empty: give it some")
        if self.method == "discriminative" and not columns.names:
            raise ValueError("method 'discriminative' needs embeddings, but the table has no categorical field: "
                             "choose another method")

    def _released(self) -> tuple[nn.Module, float | dict[str, float]]:
        """Return a copy of the pretrained network with what the method lets move, and its step sizes."""
        if self.method == "lora":
            with weights_drawn_with(self._seed):
                return with_lora(self.source_model_, self.rank), self.finetune_lr
        model, lr = copy.deepcopy(self.source_model_), self.finetune_lr
        if self.method == "frozen":
            freeze(model)
            unfreeze(model, "towers")
        if self.method == "discriminative":
            return model, {"towers": lr, "body": lr * self.decay, "encoder": lr * self.decay**2}
        return model, lr

    def predict_proba(self, pairs: Table) -> np.ndarray:
        """Return the probabilities of no and yes, [N, 2]; before :meth:`finetune`, those that the source taught.

        Raises:
            NotFittedError: before :meth:`pretrain`.
            ValueError: other columns, or categories outside the source's vocabulary.
        """
        self._need_source("predict")
        pairs = self.columns_.check(pairs, "the table of pairs")
        found = predict(getattr(self, "model_", self.source_model_), pairs, [self.task_])[self.task_.name].numpy()
        return np.stack([1 - found, found], 1)

    def predict(self, pairs: Table) -> np.ndarray:
        """Return 1 where yes is likelier than no, [N]."""
        return (self.predict_proba(pairs)[:, 1] > 0.5).astype(np.int64)

    def score(self, pairs: Table) -> float:
        """Return the accuracy over the rows where the label was observed."""
        found = self.predict(pairs)
        check_targets(pairs, [self.task_], "the table of pairs")
        seen = pairs.mask(self.task_.name)
        return float((found == pairs.targets[self.task_.name].numpy())[seen.numpy()].mean())

    def _need_source(self, method: str) -> None:
        if not hasattr(self, "source_model_"):
            raise NotFittedError(f"nothing to {method} from: call pretrain(source) first")

    def _train(self, model: nn.Module, rows: Table, validation: Table | None, epochs: int,
               lr: float | dict[str, float], description: str) -> None:
        if validation is not None:
            validation = self.columns_.check(validation, "the validation table")
            check_targets(validation, [self.task_], "the validation table")
        fit(model, rows, [self.task_], epochs=epochs, batch_size=self.batch_size, lr=lr,
            weight_decay=self.weight_decay, seed=self._seed, device=self.device, validation=validation,
            description=description)
