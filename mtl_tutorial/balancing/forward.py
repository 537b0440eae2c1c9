"""From a batch to the losses of its tasks: what every method starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task, losses


def mixed_precision(batch: Table, bf16: bool) -> torch.autocast:
    """Return the context in which matrix products run in bfloat16, where that is wanted."""
    return torch.autocast(batch.device.type, torch.bfloat16, enabled=bf16)


def forward(model: nn.Module, tasks: Sequence[Task], batch: Table,
            bf16: bool = False) -> tuple[Tensor, Tensor | None]:
    """Return the losses, [K] or [R, K], and the penalty that the model adds to the objective, a scalar or None."""
    with mixed_precision(batch, bf16):
        outputs = model(batch.inputs)
    return losses(tasks, outputs, batch), penalty(model, outputs)


def penalty(model: nn.Module, outputs: Mapping[str, Tensor]) -> Tensor | None:
    """Return the penalty that the model adds to the objective, a scalar; None where it has none to descend."""
    found = model.penalty(outputs).sum() if hasattr(model, "penalty") else None
    return found if found is not None and found.requires_grad else None
