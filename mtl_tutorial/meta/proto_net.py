"""ProtoNet: a class is the mean of its examples, a prediction the nearest mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_tutorial.meta.episodes import blanked, class_members, validate_classes
from mtl_tutorial.meta.learner import EpisodeLearner
from mtl_tutorial.meta.losses import cross_entropy
from mtl_tutorial.meta.weights import Weights


def prototypes(support: Tensor, labels: Tensor, classes: int, mask: Tensor | None = None) -> Tensor:
    """Return the mean embedding of each class in each task, [T, C, D].

    Args:
        support: embeddings, [T, S, D].
        labels: classes 0 … C − 1, [T, S]; each in every task.
        classes: C.
        mask: rows that count, [T, S].

    Reference: Snell, Swersky and Zemel 2017, Prototypical Networks for Few-shot Learning, equation 1.
    """
    members = class_members(labels, mask, classes).to(support.dtype)                    # [T, S, C]
    if mask is not None:
        support = torch.where(mask.unsqueeze(-1), support, 0.0)
    return members.transpose(1, 2) @ support / members.sum(1).unsqueeze(-1)             # [T, C, D]


def distance_logits(query: Tensor, means: Tensor) -> Tensor:
    """Return −‖z − c‖², the logits of T tasks, [T, Q, C].

    Args:
        query: embeddings z, [T, Q, D].
        means: prototypes c, [T, C, D].
    """
    return -(query.unsqueeze(2) - means.unsqueeze(1)).square().sum(-1)                  # [T, Q, C, D] summed


def prototype_logits(support: Tensor, labels: Tensor, query: Tensor, classes: int) -> Tensor:
    """Classify by the squared distance to each class's mean: −‖z − c_k‖², [T, Q, C].

    Args:
        support: embeddings, [T, S, D].
        labels: classes 0 … C − 1, [T, S]; each in every task, not necessarily equally often.
        query: embeddings, [T, Q, D].
        classes: C.

    Reference: Snell, Swersky and Zemel 2017, Prototypical Networks for Few-shot Learning, equations 1 and 2.
    """
    return distance_logits(query, prototypes(support, labels, classes))


class ProtoNet(EpisodeLearner):
    """Learn an embedding in which the classes of a task lie around their means; nothing is fitted when adapting.

    Args:
        model: maps [..., I] to embeddings [..., D], the same for all tasks; or a stack of R.
        classes: C of each task.

    Reference: Snell, Swersky and Zemel 2017, Prototypical Networks for Few-shot Learning, algorithm 1.
    """

    def __init__(self, model: nn.Module, classes: int):
        super().__init__(model, cross_entropy)
        self.classes = classes

    def embed(self, x: Tensor) -> Tensor:
        """Map the rows of T tasks [T, N, …] to embeddings [T, N, D], all tasks by the same weights."""
        if self.repeats is None:
            return self.model(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        by_repeat = x.unflatten(0, (self.repeats, -1)).flatten(1, 2)                    # [R, T / R · N, …]
        return self.model(by_repeat).flatten(0, 1).unflatten(0, x.shape[:2])            # [T, N, D]

    def adapt(self, support_x: Tensor, support_y: Tensor, support_mask: Tensor | None = None) -> Weights:
        """Return the means of each task's classes, "prototypes" -> [T, C, D].

        Raises:
            ValueError: a class without a support row.
        """
        validate_classes(support_y, support_mask, self.classes)
        support_x, support_y = blanked(support_x, support_y, support_mask)
        return {"prototypes": prototypes(self.embed(support_x), support_y, self.classes, support_mask)}

    def predict(self, adapted: Weights, x: Tensor) -> Tensor:
        """Map rows of T tasks [T, N, …] to logits [T, N, C]."""
        return distance_logits(self.embed(x), adapted["prototypes"])
