"""One model, a set of weights per task: where the weights start, and how the model is called with them.

A learner's model is any ``nn.Module``, or R of them as a :class:`~mtl_tutorial.models.stacked.Stacked`: R paired
repeats of an experiment, each with weights of its own, for little more than the price of one. Its episodes are then
R times as many, those of repeat 0 first.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.func import functional_call, vmap

from mtl_tutorial.models.stacked import Stacked

Weights = dict[str, Tensor]


def initial_weights(model: nn.Module) -> Weights:
    """Return name -> the model's own parameter, with a leading [R] where it is a stack."""
    return model.named_weights if isinstance(model, Stacked) else dict(model.named_parameters())


def spread(weights: Mapping[str, Tensor], tasks: int, repeats: int | None) -> Weights:
    """Give every task the weights it starts from, differentiably.

    Args:
        weights: name -> […], or name -> [R, …] of R repeats.
        tasks: T of all repeats together.
        repeats: R, or None for a single model.

    Returns:
        Name -> [T, …]; without repeats a view.

    Raises:
        ValueError: tasks that cannot be shared out evenly among the repeats.
    """
    if repeats is None:
        return {name: value.expand(tasks, *value.shape) for name, value in weights.items()}
    if tasks % repeats:
        raise ValueError(f"{tasks} tasks cannot be shared out evenly among {repeats} repeats: each needs as many")
    return {name: value.repeat_interleave(tasks // repeats, 0) for name, value in weights.items()}


def task_call(model: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Compute T tasks at once, each with weights of its own.

    A module that has a method ``task_forward(weights, x)`` is asked for its batched form; any other is run by
    ``vmap``, which is general and slower. Buffers are taken as they are: a module that updates running statistics
    is refused, for they would mix the tasks.

    Args:
        model: a module, or a stack of R of them.
        weights: name -> [T, …], of all of the model's parameters.
        x: rows of each task, [T, N, …].

    Returns:
        [T, N, …].

    Raises:
        ValueError: the model would update running statistics.
    """
    architecture = model.architecture if isinstance(model, Stacked) else model
    if hasattr(architecture, "task_forward"):
        return architecture.task_forward(weights, x)
    refuse_running_statistics(architecture)
    buffers = spread(model.named_constants, len(x), model.repeats) if isinstance(model, Stacked) else {}

    def one(weights: Weights, buffers: Weights, x: Tensor) -> Tensor:
        return functional_call(architecture, (weights, buffers), (x,))

    return vmap(one, randomness="different")(dict(weights), buffers, x)


def refuse_running_statistics(model: nn.Module) -> None:
    """Refuse a module that would update running statistics with the rows of all tasks.

    Raises:
        ValueError: the first layer that would.
    """
    for name, layer in model.named_modules():
        if layer.training and isinstance(getattr(layer, "running_mean", None), Tensor):
            raise ValueError(
                f"layer {name!r} ({type(layer).__name__}) keeps running statistics, which tasks would write into "
                "one another's. Use nn.GroupNorm or nn.LayerNorm; or track_running_stats=False, and know that a "
                "prediction then depends on the other query rows; or model.eval(), which freezes the statistics")
