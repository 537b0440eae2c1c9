"""What a trained model says of a whole table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task, at_least_float32, losses

BATCH = 8192        # rows scored at once


def outputs_of(model: nn.Module, table: Table) -> dict[str, Tensor]:
    """Return task -> logits [N] or [N, C] of all rows, in evaluation mode, on the table's device.

    Of a stacked model, for a table with as many repeats: [R, N] or [R, N, C].
    """
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [model(table.take(slice(start, start + BATCH)).to(device).inputs)
                 for start in range(0, len(table), BATCH)]
    row = 0 if table.repeats is None else 1
    return {name: torch.cat([part[name] for part in parts], row).to(table.device) for name in parts[0]}


def predict(model: nn.Module, table: Table, tasks: Sequence[Task]) -> dict[str, Tensor]:
    """Return task -> probabilities [N] (or [N, C]; for regression means [N]), as :func:`outputs_of` does."""
    outputs = outputs_of(model, table)
    return {task.name: task.prediction(at_least_float32(outputs[task.name])) for task in tasks}


def mean_losses(model: nn.Module, table: Table, tasks: Sequence[Task]) -> Tensor:
    """Return each task's mean loss over the table's observed rows, [K]; of a stacked model [R, K]."""
    return losses(tasks, outputs_of(model, table), table)
