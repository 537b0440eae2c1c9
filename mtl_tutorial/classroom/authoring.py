"""For authors of exercises: how well the cases tell the reference and the known mistakes apart."""

from collections.abc import Callable

import numpy as np

from mtl_tutorial.classroom.comparison import first_difference, gap, leaves, tolerance_for
from mtl_tutorial.classroom.exercise import Exercise
from mtl_tutorial.classroom.trial import run_cases


def separation(exercise: Exercise, one: Callable, other: Callable) -> float:
    """Return how far two functions are apart on the case that parts them most, in tolerances.

    Infinite where they differ in shape, type or structure; gradients count as much as outputs.

    Raises:
        RuntimeError: one of the functions fails on a case.
    """
    cases = exercise.cases()
    trials = [run_cases(exercise, function, cases) for function in (one, other)]
    for trial in (*trials[0], *trials[1]):
        if error := trial.error or trial.backward_error:
            raise RuntimeError(f"{exercise.id}: a function fails on a case") from error
    return max(max(_distance(a.output, b.output, exercise.tolerance),
                   _distance(a.gradients, b.gradients, exercise.tolerance))
               for a, b in zip(*trials, strict=True))


def _distance(expected: object, actual: object, tolerance: float) -> float:
    difference = first_difference(expected, actual, tolerance)
    if difference is None:
        return 0.0
    if difference.kind != "value":
        return float("inf")
    pairs = [(a, b) for (_, a), (_, b) in zip(leaves(expected), leaves(actual), strict=True)]
    if any(np.shape(a) != np.shape(b) for a, b in pairs):
        return float("inf")
    return max((float(gap(a, b).max(initial=0.0)) / tolerance_for(a, tolerance) for a, b in pairs),
               default=float("inf"))
