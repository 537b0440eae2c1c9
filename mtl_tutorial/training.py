"""One training loop for every model: :func:`fit`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mtl_tutorial.allocator import keep_freed_memory
from mtl_tutorial.balancing.aggregator import Aggregator
from mtl_tutorial.balancing.forward import forward
from mtl_tutorial.balancing.scalarizer import Scalarizer, Sum
from mtl_tutorial.data.table import Table
from mtl_tutorial.device import find_device
from mtl_tutorial.inference import mean_losses
from mtl_tutorial.lazy_adam import LazyAdam, updates_sparsely
from mtl_tutorial.learning_rates import groups_by_rate
from mtl_tutorial.progress_bar import bar
from mtl_tutorial.tasks import Task
from mtl_tutorial.training_state import History, NonFiniteLoss, TrainingState

__all__ = ["History", "Monitor", "NonFiniteLoss", "fit"]

Monitor = Callable[[nn.Module, Table], float | Tensor]

CHECK_EVERY = 50        # steps between looks at the losses: a look waits for the device


def fit(model: nn.Module, table: Table, tasks: Sequence[Task], balance: Scalarizer | Aggregator | None = None, *,
        epochs: int = 3, batch_size: int = 512, lr: float | Mapping[str, float] = 1e-3, weight_decay: float = 0.0,
        seed: int = 0, precision: str = "fp32", device: torch.device | str | None = None,
        validation: Table | None = None, monitor: Monitor | None = None,
        evaluate_every: int | None = None, patience: int | None = None,
        checkpoint: Path | str | None = None, checkpoint_every: int | None = None,
        description: str = "training") -> History:
    """Train ``model`` in place with Adam on index batches of ``table``.

    Large embedding tables train faster after :func:`~mtl_tutorial.lazy_adam.sparse_updates`.

    Args:
        model: maps ``Inputs`` to task -> output. An optional method ``penalty(outputs)`` is added to the loss.
            A :class:`~mtl_tutorial.models.stacked.Stacked` model wants a table with as many repeats.
        table: the training rows.
        tasks: what to learn.
        balance: turns the tasks' losses, or their gradients, into one step; the plain sum if left out.
        epochs: passes over the rows.
        batch_size: rows per step.
        lr: Adam's step size; or one for each prefix of the parameters' names (of a stacked model: the names that
            the architecture gives them), the longest prefix that fits decides. ``{"": 1e-3, "encoder": 1e-4}``
            is a tenth for the encoder. The balancer's own parameters, if it has any, are called ``balance.…``.
        weight_decay: of Adam (L2 added to the gradient).
        seed: of the order of the rows.
        precision: ``"fp32"``, or ``"bf16"`` for products in bfloat16 with weights and losses in float32.
        device: where to train; :func:`~mtl_tutorial.device.find_device` if left out.
        validation: rows for early stopping. With them, the best weights seen are those kept at the end.
        monitor: (model, validation) -> score, higher is better, [R] for stacked models; minus the summed loss
            if left out.
        evaluate_every: steps between evaluations, the last step always; once per epoch if left out.
        patience: stop after this many evaluations in a row without a new best (of any repeat).
        checkpoint: file to write to, and to resume from where it exists: an interrupted call, made again with
            the same arguments, ends with the same bits.
        checkpoint_every: steps between writes; once per epoch if left out.
        description: of the progress bar.

    Returns:
        The history. The model is left in evaluation mode on ``device``.

    Raises:
        NonFiniteLoss: a loss, a weight or the validation score became NaN or infinite.
        CheckpointError: the checkpoint is damaged or belongs to another run.
        ValueError: an unknown precision, a stacked model without as many repeats, patience below 1 or without
            validation, nothing to train, a trainable parameter without a learning rate, a rate for no parameter.
    """
    started = time.perf_counter()
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision {precision!r} is neither 'fp32' nor 'bf16'")
    for kind, rows in (("table", table), ("validation table", validation)):
        if rows is not None and getattr(model, "repeats", None) != rows.repeats:
            raise ValueError(f"the model has repeats={getattr(model, 'repeats', None)}, the {kind} "
                             f"repeats={rows.repeats}: use Table.stack or Table.repeat")
    if patience is not None and validation is None:
        raise ValueError("patience needs validation rows to judge by")
    if patience is not None and patience < 1:
        raise ValueError(f"patience={patience} must be at least 1 evaluation")
    if monitor is None:
        def monitor(model: nn.Module, rows: Table) -> Tensor:
            return -mean_losses(model, rows, tasks).sum(-1)
    device = torch.device(device) if device is not None else find_device()
    keep_freed_memory()
    balance = (balance or Sum()).to(device)
    model.to(device)
    table = table.only([task.name for task in tasks]).to(device)
    validation = validation.to(device) if validation is not None else None
    optimizer = LazyAdam(groups_by_rate(lr, model, balance), weight_decay=weight_decay)
    steps_per_epoch = -(-len(table) // batch_size)
    steps = epochs * steps_per_epoch
    leading = () if table.repeats is None else (table.repeats,)
    run = TrainingState(model, balance, optimizer,
                        History(torch.zeros(steps, *leading, len(tasks), device=device)))
    identity = {"steps": steps, "batch_size": batch_size,
                "lr": dict(lr) if isinstance(lr, Mapping) else lr, "weight_decay": weight_decay, "seed": seed,
                "precision": precision, "tasks": [repr(task) for task in tasks], "balance": repr(balance),
                "rows": len(table), "validation rows": len(validation) if validation is not None else 0,
                "evaluate_every": evaluate_every, "patience": patience}
    if updates_sparsely(model):
        identity["sparse updates"] = True
    if checkpoint is not None:
        identity["data"] = table.fingerprint()
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint), identity)

    with bar(steps, description) as progress:
        progress.update(run.step)
        for index in _index_batches(table, batch_size, seed, run.step, steps_per_epoch, epochs):
            if patience is not None and run.stale >= patience:
                break
            model.train()
            batch = table.take(index)
            optimizer.zero_grad(set_to_none=True)
            task_losses = balance.backward(model, tasks, batch, bf16=precision == "bf16")   # [K] or [R, K]
            optimizer.step()
            if balance.looks_back:
                with torch.no_grad():
                    balance.after_step(forward(model, tasks, batch, bf16=precision == "bf16")[0])
            run.history.losses[run.step] = task_losses
            run.step += 1
            progress.update()
            epoch_ends = run.step % steps_per_epoch == 0
            evaluates = validation is not None and (_due(run.step, evaluate_every, epoch_ends) or run.step == steps)
            saves = checkpoint is not None and _due(run.step, checkpoint_every, epoch_ends)
            if evaluates or saves or epoch_ends or run.step % CHECK_EVERY == 0:
                run.check_finite(tasks)
            if evaluates:
                run.evaluate(monitor, validation)
            if saves:
                run.save(Path(checkpoint), identity)
    run.finish()
    model.eval()
    run.history.seconds = time.perf_counter() - started
    return run.history


def _due(step: int, every: int | None, epoch_ends: bool) -> bool:
    return epoch_ends if every is None else step % every == 0


def _index_batches(table: Table, size: int, seed: int, done: int, per_epoch: int, epochs: int) -> Iterator[Tensor]:
    """Yield the index batches of all epochs but the first ``done``: an epoch's order depends on its number."""
    for epoch in range(done // per_epoch, epochs):
        order = table.batches(size, torch.Generator().manual_seed(seed * 1_000_003 + epoch))
        for position, index in enumerate(order):
            if epoch * per_epoch + position >= done:
                yield index
