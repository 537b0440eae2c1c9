"""Compare a learner's result with the right one, and say in words where they first differ."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Difference:
    """The first difference found: its ``kind`` (structure, shape, dtype, device, nan, value) and a ``message``."""

    kind: str
    message: str


def first_difference(expected: object, actual: object, tolerance: float, path: str = "output") -> Difference | None:
    """Return the first difference between two results, or None.

    Results may be tensors, arrays, numbers, strings and nested dicts, lists and tuples of them.
    """
    expected_kind, actual_kind = kind_of(expected), kind_of(actual)
    if expected_kind == "number" and actual_kind in ("tensor", "array") and actual.ndim == 0:
        actual_kind = "number"                  # a number all the same
    if expected_kind != actual_kind:
        return Difference("structure", f"`{path}` is {_with_article(actual_kind)}, expected "
                                       f"{_with_article(expected_kind)}{_lost_tensor(expected_kind, actual)}")
    if expected_kind in ("tensor", "array"):
        return _array_difference(expected, actual, tolerance, path)
    if expected_kind == "number":
        return _value_difference(expected, actual, tolerance, path)
    if expected_kind == "dict":
        return _dict_difference(expected, actual, tolerance, path)
    if expected_kind == "tuple":
        if len(expected) != len(actual):
            return Difference("structure", f"`{path}` has {len(actual)} entries, expected {len(expected)}")
        pairs = enumerate(zip(expected, actual, strict=True))
        found = (first_difference(a, b, tolerance, f"{path}[{i}]") for i, (a, b) in pairs)
        return next(filter(None, found), None)
    if expected_kind in ("bool", "str") and expected != actual:
        return Difference("value", f"`{path}` is {actual!r}, expected {expected!r}")
    return None


def kind_of(value: object) -> str:
    """Return what a value is for a comparison: lists and tuples are one kind, all real numbers another."""
    kinds = {"tensor": torch.Tensor, "array": np.ndarray, "bool": (bool, np.bool_), "str": str,
             "number": (int, float, np.number), "dict": dict, "tuple": (list, tuple)}
    return next((name for name, types in kinds.items() if isinstance(value, types)), type(value).__name__)


def leaves(value: object, path: str = "output") -> Iterator[tuple[str, object]]:
    """Yield the path and value of each number, array and tensor in nested containers."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for i, element in enumerate(value):
            yield from leaves(element, f"{path}[{i}]")
    elif kind_of(value) in ("tensor", "array", "number"):
        yield path, value


def cast_like(expected: object, actual: object) -> object:
    """Return the actual result with floating tensors in the expected dtypes, and numbers as scalar tensors."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {key: cast_like(expected.get(key), value) for key, value in actual.items()}
    if isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)) and len(expected) == len(actual):
        return tuple(cast_like(a, b) for a, b in zip(expected, actual, strict=True))
    if isinstance(expected, torch.Tensor) and expected.is_floating_point():
        if isinstance(actual, torch.Tensor) and actual.is_floating_point():
            return actual.to(expected.dtype)
        if expected.ndim == 0 and isinstance(actual, float):
            return expected.new_tensor(actual)
    return actual


def _dict_difference(expected: dict, actual: dict, tolerance: float, path: str) -> Difference | None:
    missing = [key for key in expected if key not in actual]
    surplus = [key for key in actual if key not in expected]
    if missing or surplus:
        told = [f"lacks {missing}"] * bool(missing) + [f"has {surplus} too many"] * bool(surplus)
        return Difference("structure", f"`{path}` {' and '.join(told)}")
    found = (first_difference(expected[key], actual[key], tolerance, f"{path}[{key!r}]") for key in expected)
    return next(filter(None, found), None)


def _array_difference(expected, actual, tolerance: float, path: str) -> Difference | None:
    for kind in ("shape", "dtype", "device"):
        got, wanted = getattr(actual, kind, None), getattr(expected, kind, None)
        if got != wanted:
            got, wanted = (list(got), list(wanted)) if kind == "shape" else (got, wanted)
            return Difference(kind, f"`{path}` has {kind} {got}, expected {wanted}")
    return _value_difference(expected, actual, tolerance, path)


def _value_difference(expected, actual, tolerance: float, path: str) -> Difference | None:
    wanted, got = _numbers(expected), _numbers(actual)
    wrong = gap(expected, actual) > tolerance_for(expected, tolerance)
    not_finite = wrong & ~np.isfinite(got)
    kind, wrong = ("nan", not_finite) if not_finite.any() else ("value", wrong)
    if not wrong.any():
        return None
    first = np.unravel_index(wrong.argmax(), wrong.shape)
    values = f"got {_short(got[first])}, expected {_short(wanted[first])}"
    if wrong.ndim == 0:
        return Difference(kind, f"`{path}`: {values}")
    verb = "are NaN or infinite" if kind == "nan" else "differ"
    where = ", ".join(str(int(index)) for index in first)
    return Difference(kind, f"`{path}`: {wrong.sum()} of {wrong.size} elements {verb}; at [{where}] {values}")


def gap(expected, actual) -> np.ndarray:
    """Return |actual - expected| / (1 + |expected|); NaNs and infinities are equal or infinitely far apart."""
    wanted, got = _numbers(expected), _numbers(actual)
    with np.errstate(invalid="ignore"):
        gap = np.abs(got - wanted) / (1 + np.abs(wanted))
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    return np.where(same, 0.0, np.where(np.isfinite(gap), gap, np.inf))


def tolerance_for(expected, tolerance: float) -> float:
    """Return the tolerance, or 64 rounding errors of the value's precision where that is more."""
    if isinstance(expected, torch.Tensor) and expected.dtype.is_floating_point:
        return max(tolerance, 64 * torch.finfo(expected.dtype).eps)
    if isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
        return max(tolerance, 64 * float(np.finfo(expected.dtype).eps))
    return tolerance


def _numbers(value) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().to_dense() if value.layout != torch.strided else value.detach()
        return (value if value.is_complex() else value.double()).cpu().numpy()
    return np.asarray(value, dtype=None if np.iscomplexobj(value) else float)


def _lost_tensor(expected_kind: str, actual: object) -> str:
    """Return the question by which method a tensor became what it is, or nothing."""
    kind = kind_of(actual)
    if kind == "tuple" and actual and all(kind_of(value) == "number" for _, value in leaves(actual)):
        kind = "list of numbers"
    methods = {"number": ".item()", "bool": ".item()", "array": ".numpy()", "list of numbers": ".tolist()"}
    return f" (was {methods[kind]} called?)" if expected_kind == "tensor" and kind in methods else ""


def _short(number) -> str:
    return f"{number:.6g}"


def _with_article(kind: str) -> str:
    if kind in ("NoneType", "ellipsis"):
        return {"NoneType": "None", "ellipsis": "`...`"}[kind]
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {'tuple or list' if kind == 'tuple' else kind}"
