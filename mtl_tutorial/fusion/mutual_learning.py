"""Deep mutual learning: students that are trained side by side and learn from one another's predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs
from mtl_tutorial.fusion.class_logits import class_logits, refuse_regression
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task


def peer_divergence(logits: Tensor) -> Tensor:
    """Return how far each student is from its peers on each row: mean over j ≠ k of KL(p_j ‖ p_k), [..., S, B].

    Peers count as constants: the gradient moves student k towards them, and never them towards k. The sum over
    peers needs no loop, for KL(p_j ‖ p_k) = Σ_c p_j log p_j − Σ_c p_j log p_k is linear in what depends on j.

    Args:
        logits: of S students, [..., S, B, C].

    Raises:
        ValueError: fewer than two students, or logits without the three dimensions.

    Reference: Zhang, Xiang, Hospedales and Lu 2018, Deep Mutual Learning, equations 5 and 7.
    """
    students = _students(logits)
    log_p = logits.log_softmax(-1)                                                      # [..., S, B, C]
    p = log_p.detach().exp()
    peers = (p.sum(-3, keepdim=True) - p) / (students - 1)                              # mean of the others' p_j
    negentropy = -torch.special.entr(p).sum(-1)                                         # [..., S, B]
    peers_negentropy = (negentropy.sum(-2, keepdim=True) - negentropy) / (students - 1)
    return peers_negentropy - (peers * log_p).sum(-1)


def mutual_learning_loss(logits: Tensor, targets: Tensor, weight: float | Tensor = 1.0) -> Tensor:
    """Return each student's loss, cross-entropy + weight × mean over peers of KL(peer ‖ student), [..., S].

    Both terms are means over the batch. A student's loss reads its peers as constants, so the gradient of the sum
    over students holds every student's own.

    Args:
        logits: of S students on the same rows, [..., S, B, C].
        targets: classes, [..., B] int64.
        weight: of the divergence; 1 in the paper, 0 is training apart.

    Raises:
        ValueError: fewer than two students, or targets of other rows than the logits.

    Reference: Zhang et al. 2018, equations 1, 6 and 7.
    """
    students = _students(logits)
    if targets.shape != logits.shape[:-3] + logits.shape[-2:-1]:
        raise ValueError(f"logits have shape {list(logits.shape)}, targets {list(targets.shape)}: expected "
                         "[…, students, rows, classes] and […, rows]")
    wanted = targets.unsqueeze(-2).expand(*targets.shape[:-1], students, -1)            # [..., S, B]
    own = -logits.log_softmax(-1).gather(-1, wanted.unsqueeze(-1)).squeeze(-1)          # [..., S, B]
    return own.mean(-1) + weight * peer_divergence(logits).mean(-1)


def _students(logits: Tensor) -> int:
    if logits.dim() < 3:
        raise ValueError(f"logits have shape {list(logits.shape)}: expected […, students, rows, classes]")
    students = logits.shape[-3]
    if students < 2:
        raise ValueError("there is one student: mutual learning needs at least two, for a student has no peer in "
                         "itself")
    return students


@dataclass(frozen=True)
class MutualTask(Task):
    """A task that the students of :class:`MutualStudents` learn from its labels and from one another.

    The loss of a row is the *sum* of the students' losses, so that each student's gradient is its own, whatever
    their number. The prediction is the students' mean probability: the ensemble.

    Args:
        name, kind, classes: as for :class:`~mtl_tutorial.tasks.Task`.
        weight: of the divergence from the peers; for R repeats one for each if they are to differ.

    Raises:
        ValueError: a regression, a negative weight.

    Reference: Zhang et al. 2018.
    """

    weight: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_regression(self)
        if torch.tensor(self.weight).min() < 0:
            raise ValueError(f"task {self.name!r}: weight {self.weight} must not be negative, or students flee one "
                             "another")

    def row_loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the students' losses of each row, summed, [..., B].

        Args:
            output: of S students, [..., B, S] logits or [..., B, S, C].
            target: [..., B].
        """
        wanted = target.unsqueeze(-1).expand(output.shape[:target.dim() + 1])
        own = super().row_loss(output, wanted)                                          # [..., B, S]
        students_first = class_logits(self, output).transpose(-3, -2)                   # [..., S, B, C]
        divergence = peer_divergence(students_first).transpose(-2, -1)                  # [..., B, S]
        weight = torch.tensor(self.weight, dtype=output.dtype, device=output.device)
        if weight.dim() and weight.shape != own.shape[:-2]:
            raise ValueError(f"task {self.name!r} has {len(weight)} weights, the output the shape "
                             f"{list(output.shape)}: give one weight for each repeat")
        return (own + weight.unsqueeze(-1).unsqueeze(-1) * divergence).sum(-1)

    def prediction(self, output: Tensor) -> Tensor:
        """Return the mean of the students' probabilities, [..., B] or [..., B, C]."""
        return super().prediction(output).mean(-1 if self.kind == "binary" else -2)


class MutualStudents(nn.Module):
    """S students that see the same rows, run as one batched computation; with repeats, R such groups.

    Train them with ``fit(MutualStudents(models), table, [MutualTask("click")])``.

    Args:
        models: S students of one architecture, each initialised on its own; with repeats R · S of them, those of a
            group together.
        repeats: R groups that know nothing of each other, for a table of as many repeats.

    Attributes:
        students: S.
        stack: the R · S models as one.

    Raises:
        ValueError: fewer than two students, or groups of different sizes.

    Reference: Zhang et al. 2018. There each student takes its step after the one before; here, as in the common
    simplification, all step at once from the same predictions.
    """

    def __init__(self, models: Sequence[nn.Module], repeats: int | None = None):
        super().__init__()
        self.students, left = divmod(len(models), repeats or 1)
        if left or self.students < 2:
            raise ValueError(f"{len(models)} models for {repeats or 1} group(s): each group needs as many students "
                             "as the others, and at least two")
        self.stack, self.repeats = Stacked(models), repeats

    @property
    def named_weights(self) -> dict[str, Tensor]:
        """Name in the architecture -> parameter of all models, [R · S, …]."""
        return self.stack.named_weights

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Map inputs [B, …], with repeats [R, B, …], to task -> [B, S] or [B, S, C], with repeats in front."""
        if self.repeats is None:
            each = Inputs(*(column.expand(self.students, *column.shape) for column in inputs))      # [S, B, …]
        else:
            each = Inputs(*(column.repeat_interleave(self.students, 0) for column in inputs))       # [R·S, B, …]
        return {name: self._beside_each_other(output) for name, output in self.stack(each).items()}

    def penalty(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the penalty of every student's architecture, [R · S]; zeros where it has none."""
        return self.stack.penalty({name: self._one_by_one(output) for name, output in outputs.items()})

    def _beside_each_other(self, output: Tensor) -> Tensor:
        if self.repeats is None:
            return output.transpose(0, 1)                                               # [B, S, …]
        return output.unflatten(0, (self.repeats, self.students)).transpose(1, 2)       # [R, B, S, …]

    def _one_by_one(self, output: Tensor) -> Tensor:
        return output.transpose(0, 1) if self.repeats is None else output.transpose(1, 2).flatten(0, 1)
