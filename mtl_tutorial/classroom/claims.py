"""Claims: what a lesson says about its results, checked each time the lesson runs.

A claim shows one line that does not change between runs, and carries the measured value and the bound in the
output's metadata, where ``make run`` and the tests read them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from mtl_tutorial.classroom.panel import show_line


@dataclass(frozen=True)
class Predicate:
    """A bound in words (``expected``) and in code (``holds``, which raises TypeError on a wrong type).

    ``failure`` says of a value that does not hold in which way it does not; empty where there is but one way.
    """

    expected: str
    holds: Callable[[object], bool]
    failure: Callable[[object], str] = lambda value: ""


def at_least(bound: float) -> Predicate:
    """Hold when the value, or every element of it, is ``bound`` or more."""
    return Predicate(f"at least {bound:g}", lambda value: bool((_numbers(value) >= bound).all()))


def at_most(bound: float) -> Predicate:
    """Hold when the value, or every element of it, is ``bound`` or less."""
    return Predicate(f"at most {bound:g}", lambda value: bool((_numbers(value) <= bound).all()))


def between(low: float, high: float) -> Predicate:
    """Hold when the value, or every element of it, lies in [low, high]."""
    def holds(value):
        numbers = _numbers(value)
        return bool(((numbers >= low) & (numbers <= high)).all())
    return Predicate(f"between {low:g} and {high:g}", holds)


def gains(margin: float = 0.0) -> Predicate:
    """Hold when a paired comparison's whole 95 % interval lies above ``margin``."""
    return Predicate(f"interval above {margin:g}", lambda value: _interval(value)["low"] > margin,
                     lambda value: _failure(_interval(value), margin, _interval(value)["high"] < margin))


def loses(margin: float = 0.0) -> Predicate:
    """Hold when a paired comparison's whole 95 % interval lies below ``-margin``."""
    bound = 0 - margin
    return Predicate(f"interval below {bound:g}", lambda value: _interval(value)["high"] < bound,
                     lambda value: _failure(_interval(value), bound, _interval(value)["low"] > bound))


def claim(id: str, text: str, value: object, predicate: Predicate) -> None:
    """Check a statement about a measured value and show the verdict as one line.

    Never raises: a claim that does not hold, or cannot be checked, shows ✗ with what was measured. Of a paired
    comparison it tells *contradicted* (the interval lies on the other side) from *not resolved* (it includes the
    bound: more repeats may decide).

    Args:
        id: the lesson's number and words, ``"01.gates_specialise"``.
        text: the statement, without figures that change from run to run.
        value: a number, a tensor or array of numbers, or (for ``gains`` and ``loses``) a paired comparison with
            ``mean``, ``low`` and ``high``.
        predicate: the bound: ``at_least``, ``at_most``, ``between``, ``gains`` or ``loses``.
    """
    expected = getattr(predicate, "expected", "a predicate such as at_least(0.5)")
    try:
        held, measured = bool(predicate.holds(value)), _for_json(value)
        failure = "" if held else predicate.failure(value)
    except Exception as reason:             # a learner may turn any dial: the claim says what became of it
        held, measured, failure = False, f"{type(value).__name__} ({reason})", ""
    line = f"{'✓' if held else '✗'} {id}  {' '.join(str(text).split())}"
    if not held:
        line += f": {failure + ': ' * bool(failure)}measured {_readable(measured)}, expected {expected}"
    show_line(line, {"mtl_tutorial": {"claim": id, "held": held, "value": measured, "expected": expected}})


def _numbers(value: object) -> np.ndarray:
    """Return the value as an array of floats; raise TypeError where it is not numeric or empty."""
    array = value.detach().cpu().double().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError("a number or an array of numbers is needed")
    if array.size == 0:
        raise TypeError("nothing was measured")
    return array.astype(float)


def _interval(value: object) -> dict[str, float]:
    """Return mean, low and high of a paired comparison."""
    try:
        return {name: float(getattr(value, name)) for name in ("mean", "low", "high")}
    except (AttributeError, TypeError):
        raise TypeError("a paired comparison with mean, low and high is needed") from None


def _failure(interval: dict[str, float], bound: float, contradicted: bool) -> str:
    """Return whether an interval that does not hold lies on the other side of the bound or includes it."""
    if contradicted:
        return "contradicted"
    if not interval["low"] <= bound <= interval["high"]:        # NaN
        return ""
    return f"not resolved, the interval includes {f'{bound:g}' if bound else 'zero'}"


def _for_json(value: object) -> object:
    """Return numbers as strict JSON allows them: no tensors, no NaN."""
    if all(hasattr(value, name) for name in ("mean", "low", "high")):
        return {name: _for_json(number) for name, number in _interval(value).items()}
    numbers = _numbers(value)
    if numbers.ndim == 0:
        return float(numbers) if math.isfinite(numbers) else str(float(numbers))
    return [_for_json(element) for element in numbers]


def _readable(measured: object) -> str:
    """Return a measured value as short text."""
    if isinstance(measured, float):
        return f"{measured:.4g}"
    if isinstance(measured, dict):
        return f"{_readable(measured['mean'])} [{_readable(measured['low'])}, {_readable(measured['high'])}]"
    if isinstance(measured, list):
        shown = ", ".join(_readable(element) for element in measured[:8])
        return f"[{shown}{', …' if len(measured) > 8 else ''}]"
    return str(measured)
