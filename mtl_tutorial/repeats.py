"""Repeating an experiment over seeds, all repeats as one stacked model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Table
from mtl_tutorial.evaluation import auc
from mtl_tutorial.inference import predict
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.randomness import weights_drawn_with
from mtl_tutorial.tasks import Task


def stacked(build: Callable[[], nn.Module], repeats: int, seed: int) -> Stacked:
    """Build a model ``repeats`` times, each with weights of its own, and stack them."""
    with weights_drawn_with(seed):
        return Stacked([build() for _ in range(repeats)])


def draws(table: Table, rows: int, seeds: Sequence[int]) -> Table:
    """Draw ``rows`` rows for each seed, without replacement, as one stacked table [R, rows].

    Raises:
        ValueError: more rows than the table has.
    """
    if rows > len(table):
        raise ValueError(f"{rows} rows asked for, but the table has {len(table)}")
    orders = [torch.randperm(len(table), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return Table.stack([table.take(order[:rows]) for order in orders])


def each(predictions: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Part a stacked model's predictions, task -> [R, N, …], into one dict of task -> [N, …] per repeat."""
    repeats = len(next(iter(predictions.values())))
    return [{name: values[r] for name, values in predictions.items()} for r in range(repeats)]


def auc_by_repeat(model: Stacked, table: Table, tasks: Sequence[Task]) -> np.ndarray:
    """Return the AUC of each binary task and repeat, [K, R].

    Args:
        model: of R repeats.
        table: rows that all repeats are scored on, or a stacked table with rows for each.
        tasks: K binary tasks.
    """
    shared = table.repeats is None
    found = predict(model, table.repeat(model.repeats) if shared else table, tasks)
    return np.array([[auc(table.targets[task.name] if shared else table.targets[task.name][r], scores)
                      for r, scores in enumerate(found[task.name])] for task in tasks])


def tuned(train: Callable[[float], tuple[np.ndarray, np.ndarray]],
          rates: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Train at every learning rate and keep, for each setting, the rate of the lowest mean validation loss.

    Args:
        train: rate -> validation losses [..., R] and test scores [..., R, …] of R repeats in each setting.
        rates: the trials; what is compared should get the same ones.

    Returns:
        The scores at the chosen rates, [..., R, …], and these rates, [...].

    Raises:
        ValueError: a validation loss is not finite: this rate is too high for a fair trial.
    """
    losses, scores = (np.stack(column) for column in zip(*map(train, rates), strict=True))      # [rates, ..., R]
    if not np.isfinite(losses).all():
        broken = sorted({rates[t] for t in np.argwhere(~np.isfinite(losses))[:, 0]})
        raise ValueError(f"validation losses are not finite at rates {broken}: leave them out")
    best = losses.mean(-1).argmin(0)                                                            # [...]
    return scores[(best, *np.indices(best.shape))], np.asarray(rates)[best]
