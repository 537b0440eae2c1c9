"""Run a function on a case's fresh arguments, and keep everything a diagnosis may ask about."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mtl_tutorial.classroom.comparison import first_difference, leaves
from mtl_tutorial.classroom.exercise import Exercise
from mtl_tutorial.classroom.randomness import random_state_kept, seed_everything

CALL_SEED = 1       # reference, learner and mistakes all start each case from this seed


@dataclass(frozen=True)
class Trial:
    """What one call did.

    Args:
        output: what the function returned.
        error: what it raised, or None.
        mutated: names of the arguments whose contents it changed.
        gradients: argument or parameter -> gradient of a fixed random projection of the output.
        attached: whether the output is connected to anything that can learn.
        backward_error: what the backward pass raised, or None.
        calls: argument -> how often it was called, of those that the exercise is sparing with.
    """

    output: object = None
    error: BaseException | None = None
    mutated: tuple[str, ...] = ()
    gradients: dict[str, Tensor] = field(default_factory=dict)
    attached: bool = False
    backward_error: Exception | None = None
    calls: Counter[str] = field(default_factory=Counter)


def run_cases(exercise: Exercise, function: Callable, cases: list[tuple]) -> list[Trial]:
    """Call the function on fresh clones of every case, leaving global random state as it was."""
    return [run_case(exercise, function, case) for case in cases]


def run_case(exercise: Exercise, function: Callable, case: tuple) -> Trial:
    """Call the function on fresh clones of one case, leaving global random state as it was."""
    arguments = _fresh(case)
    named = exercise.arguments(arguments)
    sources = dict(_learnable(named))
    calls: Counter[str] = Counter()
    for name in exercise.sparing:
        named[name].register_forward_pre_hook(lambda module, inputs, name=name: calls.update([name]))
    with random_state_kept(), torch.enable_grad():
        seed_everything(CALL_SEED)
        try:
            output = function(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:      # the learner's code may raise anything, SystemExit included
            return Trial(error=error)
        mutated = _mutated(exercise.arguments(case), named)
        try:
            attached, gradients = _gradients(output, sources)
        except RuntimeError as error:       # e.g. the graph was freed, or an input was changed in place
            return Trial(output, mutated=mutated, backward_error=error, calls=calls)
    return Trial(output, mutated=mutated, gradients=gradients, attached=attached, calls=calls)


def _fresh(case: tuple) -> tuple:
    """Return a deep copy that keeps what the arguments share; computed tensors stay computed, of another graph."""
    computed = (tensor for _, tensor in leaves(case) if isinstance(tensor, Tensor) and not tensor.is_leaf)
    memo = {id(tensor): tensor.detach().requires_grad_().clone() for tensor in computed}
    return copy.deepcopy(case, memo)


def _learnable(arguments: dict[str, object]) -> Iterator[tuple[str, Tensor]]:
    """Yield a name and the tensor for every input that requires a gradient and every parameter of a module."""
    for name, argument in arguments.items():
        for path, value in _parts(argument, name):
            if isinstance(value, nn.Module):
                yield from ((f"{path}.{key}", p) for key, p in value.named_parameters() if p.requires_grad)
            elif isinstance(value, Tensor) and value.requires_grad:
                yield path, value


def _parts(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield everything in nested containers, modules included."""
    if isinstance(value, (dict, list, tuple)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, element in pairs:
            yield from _parts(element, f"{path}[{key!r}]")
    else:
        yield path, value


def _mutated(before: dict[str, object], after: dict[str, object]) -> tuple[str, ...]:
    return tuple(name for name in before if first_difference(_contents(before[name]), _contents(after[name]), 0.0))


def _contents(argument: object) -> dict[str, object]:
    """Return what a function should leave alone in its argument: values and parameters, but not buffers."""
    found = {}
    for path, value in _parts(argument, "argument"):
        parameters = value.named_parameters() if isinstance(value, nn.Module) else [("", value)]
        found |= {f"{path}.{key}": content for key, content in parameters}
    return found


def _gradients(output: object, sources: dict[str, Tensor]) -> tuple[bool, dict[str, Tensor]]:
    """Return whether the output is attached, and the gradient of its fixed random projection at each source.

    Every source is read by a second path as well, whose known gradient is subtracted again: what a function did to
    the source itself, such as a hook on it, shows in the difference.
    """
    generator = torch.Generator().manual_seed(CALL_SEED)
    total = None
    for _, value in sorted(leaves(output), key=lambda leaf: leaf[0]):       # whatever the order of a dict
        if isinstance(value, Tensor) and value.is_floating_point():
            weights = _like(value, generator)
            if value.requires_grad:
                total = (value * weights).sum() + (0 if total is None else total)
    if total is None or not sources:
        return total is not None, {name: torch.zeros_like(source) for name, source in sources.items()}
    aside = {name: _like(source, generator) for name, source in sources.items()}
    total = total + sum((source * aside[name]).sum() for name, source in sources.items())
    found = torch.autograd.grad(total, list(sources.values()))
    return True, {name: gradient.detach() - aside[name] for name, gradient in zip(sources, found, strict=True)}


def _like(value: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.detach())
