"""One shape for binary and multiclass predictions: logits of classes."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_tutorial.tasks import Task


def class_logits(task: Task, output: Tensor) -> Tensor:
    """Return the logits of all classes, [..., C].

    A binary logit z is the pair (0, z): its softmax is (1 − σ(z), σ(z)), also at any temperature.

    Args:
        task: binary or multiclass.
        output: what a model emits for it, [...] logits of a binary task or [..., C] of a multiclass one.
    """
    return torch.stack([torch.zeros_like(output), output], -1) if task.kind == "binary" else output


def refuse_regression(task: Task) -> None:
    """Raise ValueError for a task whose output is a number and no distribution."""
    if task.kind == "regression":
        raise ValueError(f"task {task.name!r} is a regression: there are no probabilities to learn from another "
                         "model; make it binary or multiclass")
