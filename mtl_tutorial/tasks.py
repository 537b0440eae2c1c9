"""What is to be predicted: tasks, and the loss of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_tutorial.data.table import Table


@dataclass(frozen=True)
class Task:
    """One target of a table and how it is scored.

    Args:
        name: of the target in the table, and of the model's output.
        kind: ``"binary"`` (output is a logit), ``"multiclass"`` (logits, one per class) or ``"regression"``
            (output is the mean, in the target's own unit).
        classes: number of classes, for ``"multiclass"`` alone.

    Raises:
        ValueError: an unknown kind, or ``classes`` that do not go with the kind.
    """

    name: str
    kind: Literal["binary", "multiclass", "regression"] = "binary"
    classes: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("binary", "multiclass", "regression"):
            raise ValueError(f"task {self.name!r}: kind {self.kind!r} is none of binary, multiclass, regression")
        if (self.kind == "multiclass") != (self.classes is not None):
            raise ValueError(f"task {self.name!r}: give classes for a multiclass task, and for no other")

    @property
    def outputs(self) -> int:
        """How many numbers a model emits for one row."""
        return self.classes or 1

    def row_loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row [..., B]: cross-entropy of the logits, or the squared error."""
        if self.kind == "binary":
            return F.binary_cross_entropy_with_logits(output, target, reduction="none")
        if self.kind == "regression":
            return F.mse_loss(output, target, reduction="none")
        log_probability = output.log_softmax(-1)                                        # [..., B, C]
        return -log_probability.gather(-1, target.unsqueeze(-1)).squeeze(-1)

    def prediction(self, output: Tensor) -> Tensor:
        """Turn what a model emits into probabilities ([B] or [B, C]) or, for regression, the mean [B]."""
        if self.kind == "binary":
            return output.sigmoid()
        return output.softmax(-1) if self.kind == "multiclass" else output


def at_least_float32(output: Tensor) -> Tensor:
    """Return what a model emitted in bfloat16 as float32, where losses are exact enough; float64 stays."""
    return output.to(torch.promote_types(output.dtype, torch.float32))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over rows of ``values`` [..., B, K] where ``mask`` [..., B, K] holds, [..., K].

    A column without any observed row gives 0: a batch without a single purchase teaches nothing about spend.
    """
    observed = mask.to(values.dtype)
    total = torch.where(mask, values, 0.0).sum(-2)                                      # [..., K]
    return total / observed.sum(-2).clamp(min=1)


def weighted_loss(row_losses: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Return the multi-task loss L = Σ_k w_k L_k, each L_k a mean over the rows that have a label for task k.

    Args:
        row_losses: loss of every row and task, [B, K].
        mask: True where the label was observed, [B, K] bool.
        weights: importance of each task, [K].

    Returns:
        The scalar loss.
    """
    return masked_mean(row_losses, mask) @ weights


def losses(tasks: Sequence[Task], outputs: Mapping[str, Tensor], batch: Table) -> Tensor:
    """Return the loss of each task [K]; of a stacked table, of each repeat and task [R, K].

    A task without a label in the batch has loss 0 and no gradient. A binary task without a positive has a finite
    loss, and training on it drives the logits down without end; its AUC is not defined.

    Args:
        tasks: the K tasks.
        outputs: task name -> what the model emitted, [B] or [B, C].
        batch: rows with the tasks' targets and masks.

    Raises:
        KeyError: a task that the model does not emit.
    """
    for task in tasks:
        if task.name not in outputs:
            raise KeyError(f"task {task.name!r}: the model emits only {', '.join(sorted(outputs))}")
    rows = [task.row_loss(at_least_float32(outputs[task.name]), batch.targets[task.name]) for task in tasks]
    masks = [batch.mask(task.name) for task in tasks]
    return masked_mean(torch.stack(rows, -1), torch.stack(masks, -1))                   # [..., K]
