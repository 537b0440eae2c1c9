"""Find what is wrong with a learner's function, the most telling reason first."""

import inspect
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import Module

from mtl_tutorial.classroom.comparison import Difference, cast_like, first_difference, leaves
from mtl_tutorial.classroom.exercise import Exercise, Mistake
from mtl_tutorial.classroom.source import raising_line
from mtl_tutorial.classroom.trial import Trial, run_cases


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: a ``kind`` for the records and the lines to tell the learner."""

    kind: str
    lines: tuple[str, ...]


def diagnose(exercise: Exercise, function: Callable) -> Finding | None:
    """Compare a function with the reference on every case; return what is wrong with it, or None.

    Raises:
        RuntimeError: the reference itself fails on a case, which is the author's error.
    """
    cases = exercise.cases()
    right = run_cases(exercise, exercise.reference, cases)
    for trial in right:
        if trial.error is not None:
            raise RuntimeError(f"{exercise.id}: the reference fails on its own case") from trial.error
    if signature := _wrong_signature(exercise, function, cases[0]):
        return signature
    trials = [_in_dtype_of(wanted, trial, case)
              for case, wanted, trial in zip(cases, right, run_cases(exercise, function, cases), strict=True)]
    crash = next((trial.error for trial in trials if trial.error is not None), None)
    if crash is not None:
        return _raised(exercise, function, crash)
    if any(trial.output is None and wanted.output is not None for trial, wanted in zip(trials, right, strict=True)):
        return Finding("none", ("It returned None: was `return` forgotten?",))
    compared = list(zip(cases, right, trials, strict=True))
    if changed := _first(exercise, _mutation, compared):
        return changed
    if known := _known_mistake(exercise, cases, right, trials):
        return Finding("mistake", (known.diagnosis,))
    return next(filter(None, (_first(exercise, look, compared) for look in (_output, _gradient, _calls))), None)


def _first(exercise: Exercise, look: Callable, compared: list[tuple]) -> Finding | None:
    """Return what one way of looking finds on the first case on which it finds something."""
    return next(filter(None, (look(exercise, case, wanted, trial) for case, wanted, trial in compared)), None)


def _in_dtype_of(wanted: Trial, trial: Trial, case: tuple) -> Trial:
    """Where no argument has a floating dtype to take over, let a result have any."""
    tensors = [value for _, value in leaves(case) if isinstance(value, Tensor)]
    if any(isinstance(part, Module) for part in case) or any(tensor.is_floating_point() for tensor in tensors):
        return trial
    return replace(trial, output=cast_like(wanted.output, trial.output))


def _wrong_signature(exercise: Exercise, function: Callable, case: tuple) -> Finding | None:
    try:
        inspect.signature(function).bind(*case)
    except ValueError:                      # no signature to be had: let the call tell
        return None
    except TypeError as problem:
        names = ", ".join(exercise.arguments(case))
        return Finding("signature", (f"It cannot be called with ({names}): {problem}.",))
    return None


def _raised(exercise: Exercise, function: Callable, error: BaseException) -> Finding:
    last = traceback.format_exception_only(error)[-1].strip()
    place = raising_line(function, error)
    lines = (last,) if place is None else (last, f"In line {place[0]}: `{place[1]}`")
    known = next((m for m in exercise.mistakes if m.raises and re.search(m.raises, last)), None)
    return Finding("exception", lines) if known is None else Finding("mistake", (known.diagnosis, *lines))


def _known_mistake(exercise: Exercise, cases, right: list[Trial], trials: list[Trial]) -> Mistake | None:
    """Return the mistake whose results these are.

    One that matches in outputs and gradients comes before one that matches in (wrong) outputs alone.
    """
    if same_results(exercise, right, trials):
        return None
    outputs_only = None
    for mistake in exercise.mistakes:
        if mistake.raises:
            continue
        theirs = run_cases(exercise, mistake.function, cases)
        if same_results(exercise, theirs, trials):
            return mistake
        if _same_outputs(exercise, theirs, trials) and not _same_outputs(exercise, right, trials):
            outputs_only = outputs_only or mistake
    return outputs_only


def same_results(exercise: Exercise, some: list[Trial], others: list[Trial]) -> bool:
    """Return whether two functions gave the same outputs and gradients on all cases."""
    return _same_outputs(exercise, some, others) and all(
        first_difference(a.gradients, b.gradients, exercise.tolerance) is None and not b.backward_error
        for a, b in zip(some, others, strict=True))


def _same_outputs(exercise: Exercise, some: list[Trial], others: list[Trial]) -> bool:
    return all(a.error is None and first_difference(a.output, b.output, exercise.tolerance) is None
               for a, b in zip(some, others, strict=True))


def _mutation(exercise: Exercise, case: tuple, wanted: Trial, trial: Trial) -> Finding | None:
    changed = [name for name in trial.mutated if name not in wanted.mutated]
    if not changed:
        return None
    return Finding("mutation", (f"It changed its argument `{changed[0]}` in place: work on a copy, and use `x + y` "
                                "rather than `x += y` or functions that end in an underscore.",))


def _output(exercise: Exercise, case: tuple, wanted: Trial, trial: Trial) -> Finding | None:
    difference = first_difference(wanted.output, trial.output, exercise.tolerance)
    if difference is None:
        return None
    return Finding(difference.kind, (f"{_LEAD[difference.kind]} {difference.message}.", _given(exercise, case)))


_LEAD = {
    "structure": "Something else is to be returned:",
    "shape": "The shape is wrong:",
    "dtype": "The dtype is wrong (take it from the inputs):",
    "device": "The result is on the wrong device (take it from the inputs):",
    "nan": "Not all results are finite:",
    "value": "The values are wrong:",
}


def _gradient(exercise: Exercise, case: tuple, wanted: Trial, trial: Trial) -> Finding | None:
    right = "The values are right, but"
    if trial.backward_error is not None:
        last = traceback.format_exception_only(trial.backward_error)[-1].splitlines()[0]
        return Finding("gradient", (f"{right} the backward pass through them fails:", last))
    if wanted.attached and wanted.gradients and not trial.attached:
        return Finding("detached", (f"{right} the result is detached from the graph, so nothing can learn from it.",
                                    "Look for .detach(), .item(), .numpy(), torch.tensor(...) or torch.no_grad()."))
    for name, gradient in wanted.gradients.items():
        difference = first_difference(gradient, trial.gradients[name], exercise.tolerance, f"gradient of {name}")
        if difference is not None:
            return _wrong_gradient(name, gradient, trial.gradients[name], difference, right)
    return None


def _calls(exercise: Exercise, case: tuple, wanted: Trial, trial: Trial) -> Finding | None:
    for name in exercise.sparing:
        if trial.calls[name] > wanted.calls[name]:
            return Finding("calls", (f"The values are right, but `{name}` was called {trial.calls[name]} times "
                                     f"where {wanted.calls[name]} would do: keep its result in a variable.",))
    return None


def _wrong_gradient(name: str, wanted: Tensor, got: Tensor, difference: Difference, right: str) -> Finding:
    if not got.any():
        return Finding("detached", (f"{right} no gradient reaches `{name}`: it is detached on the way.",))
    if not wanted.any():
        return Finding("gradient", (f"{right} a gradient flows into `{name}`, where none should: detach it.",))
    return Finding("gradient", (f"{right} the gradient is not: {difference.message}.",))


def _given(exercise: Exercise, case: tuple) -> str:
    """Describe the arguments of a case by their shapes."""
    shapes = [f"{path} {list(value.shape)}" for name, argument in exercise.arguments(case).items()
              for path, value in leaves(argument, name) if hasattr(value, "shape")]
    return f"The arguments were: {', '.join(shapes)}." if shapes else "The arguments were plain numbers."
