"""Knowledge distillation: a student learns from a teacher's probabilities, beside the labels or without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Table
from mtl_tutorial.fusion.class_logits import class_logits, refuse_regression
from mtl_tutorial.models.wrapped import Wrapped
from mtl_tutorial.tasks import Task


def soft_label_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return T² · KL(teacher ‖ student) of each row, both softened by the temperature T, [..., B].

    Softening divides the gradient by about T²; the factor T² gives it back, so that one weight fits every T. The
    teacher counts as a constant. (Hinton's cross-entropy has the same gradient; the divergence is 0 where they
    agree.)

    Args:
        logits: the student's, [..., B, C].
        teacher_logits: of the same shape.
        temperature: T; 1 leaves the probabilities as they are, more shows what the teacher thinks of the classes
            that it does not choose.

    Raises:
        ValueError: a temperature that is not positive, or different shapes.

    Reference: Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2.
    """
    _check_temperature(temperature)
    if logits.shape != teacher_logits.shape:
        raise ValueError(f"the student's logits have shape {list(logits.shape)}, the teacher's "
                         f"{list(teacher_logits.shape)}: they must speak of the same rows and classes")
    teacher = (teacher_logits.detach() / temperature).log_softmax(-1)                   # [..., B, C]
    student = (logits / temperature).log_softmax(-1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(-1)


def distillation_loss(logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float,
                      weight: float) -> Tensor:
    """Return (1 − weight) · cross-entropy with the labels + weight · T² · KL(teacher ‖ student), a mean over rows.

    Args:
        logits: the student's, [..., B, C].
        teacher_logits: of the same shape.
        targets: classes, [..., B] int64.
        temperature: T, for the soft labels alone.
        weight: of the soft labels, 0 … 1.

    Returns:
        The loss, [...].

    Raises:
        ValueError: a temperature that is not positive, a weight outside 0 … 1, shapes that do not fit.

    Reference: Hinton et al. 2015, section 2.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight={weight} of the soft labels is outside 0 … 1")
    if targets.shape != logits.shape[:-1]:
        raise ValueError(f"logits have shape {list(logits.shape)}, targets {list(targets.shape)}: expected "
                         "[…, rows, classes] and […, rows]")
    hard = -logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)        # [..., B]
    return ((1 - weight) * hard + weight * soft_label_loss(logits, teacher_logits, temperature)).mean(-1)


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive: 1 leaves probabilities as they are, more "
                         "softens them")


def soft_name(name: str) -> str:
    """Return what the teacher's opinion on a task is called, as a target of the table and as a task."""
    return f"{name}.teacher"


@dataclass(frozen=True)
class SoftTask(Task):
    """A task whose targets are a teacher's logits; :meth:`of` makes it from the task that both learn.

    Args:
        name, kind, classes: as for :class:`~mtl_tutorial.tasks.Task`.
        temperature: T of :func:`soft_label_loss`.

    Raises:
        ValueError: a regression, a temperature that is not positive.

    Reference: Hinton et al. 2015.
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_regression(self)
        _check_temperature(self.temperature)

    @classmethod
    def of(cls, task: Task, temperature: float = 2.0) -> SoftTask:
        """Return the soft counterpart of a binary or multiclass task."""
        return cls(soft_name(task.name), task.kind, task.classes, temperature)

    def row_loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row [..., B].

        Args:
            output: the student's logits, [..., B] or [..., B, C].
            target: the teacher's, of the same shape.
        """
        return soft_label_loss(class_logits(self, output), class_logits(self, target), self.temperature)


def with_teacher(table: Table, logits: Mapping[str, Tensor]) -> Table:
    """Add a teacher's logits to a table, as the targets of soft tasks. Rows without a label have them, too.

    Args:
        table: N rows, or R repeats of them.
        logits: task -> the teacher's, [N] of a binary task or [N, C], with repeats in front.

    Raises:
        ValueError: logits of other rows than the table's.
    """
    for name, values in logits.items():
        if values.shape[:table.numeric.dim() - 1] != table.numeric.shape[:-1]:
            raise ValueError(f"the teacher's logits of {name!r} have shape {list(values.shape)}, the table holds "
                             f"{list(table.numeric.shape[:-1])} rows: ask the teacher about this table")
    soft = {soft_name(name): values.detach() for name, values in logits.items()}
    known = dict.fromkeys(soft, torch.ones_like(table.scenario, dtype=torch.bool))
    return replace(table, targets={**table.targets, **soft}, masks={**table.masks, **known})


class Student(Wrapped):
    """A model that is asked for the same output twice: to be held to the labels and to the teacher.

    With ``student = Student(model, [task])`` and ``taught = with_teacher(table, logits)``,
    ``fit(student, taught, [task, SoftTask.of(task)], StaticWeights([0.5, 0.5]))`` trains ``model`` itself in place:
    the balance of hard and soft is a balance of two tasks, and a row whose label a mask hides is learned from the
    teacher alone.

    Args:
        model: the student, of one model or of a stack.
        tasks: those that it is taught.
    """

    def __init__(self, model: nn.Module, tasks: Sequence[Task]):
        super().__init__(model)
        self.taught = tuple(task.name for task in tasks)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return what the model emits, and for each taught task once more under the soft task's name."""
        outputs = self.model(inputs)
        return outputs | {soft_name(name): outputs[name] for name in self.taught}
