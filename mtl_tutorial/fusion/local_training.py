"""What a client does by itself: a few steps of gradient descent on its own rows, all clients at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mtl_tutorial.fusion.clients import Clients
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task, losses


def copies_for_clients(model: Stacked, clients: int) -> Stacked:
    """Give every client a copy of its group's model: of G models make G·C."""
    return Stacked([one for one in model.models() for _ in range(clients)])


def train_locally(models: Stacked, clients: Clients, tasks: Sequence[Task], *, steps: int, lr: float,
                  batch_size: int | None, generator: torch.Generator,
                  pull: Callable[[Stacked], Tensor] | None = None) -> None:
    """Train each client's model in place, on its own rows, by plain SGD; no client hears of another.

    Args:
        models: of G·C clients.
        clients: their rows.
        tasks: what to learn; a client's loss is the sum of the tasks'.
        steps: of every client, the same for large and small ones.
        lr: of SGD.
        batch_size: rows drawn for each step; None takes all rows of the client.
        generator: of the draws.
        pull: models -> a scalar that is added to the loss, summed over clients.

    Raises:
        ValueError: models of another number of clients.
    """
    if models.repeats != clients.rows.numel():
        raise ValueError(f"{models.repeats} models for {clients.rows.numel()} clients: see copies_for_clients")
    clients = replace(clients, table=clients.table.only([task.name for task in tasks]))
    optimizer = torch.optim.SGD([value for value in models.parameters() if value.requires_grad], lr=lr)
    models.train()
    for _ in range(steps):
        batch = clients.batch(batch_size, generator)
        loss = losses(tasks, models(batch.inputs), batch).sum()     # every model sees its own gradient alone
        optimizer.zero_grad()
        (loss if pull is None else loss + pull(models)).backward()
        optimizer.step()
    models.eval()
