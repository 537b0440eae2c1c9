import numpy as np
import pytest
import torch

from mtl_tutorial.classroom.comparison import cast_like, first_difference

ONE = torch.ones(2, 3, dtype=torch.float64)


@pytest.mark.parametrize("value", [
    ONE, 3, 2.5, True, "a", None, np.arange(4), {"a": ONE, "b": [1, (2.0, ONE)]}, float("nan"), float("inf"),
    torch.tensor([float("nan"), float("-inf")]), torch.tensor([], dtype=torch.long), torch.tensor(3 + 4j),
])
def test_value_equals_itself(value):
    assert first_difference(value, value, 1e-6) is None


@pytest.mark.parametrize(("expected", "actual", "kind", "message"), [
    (ONE, 1.0, "structure", "`output` is a number, expected a tensor (was .item() called?)"),
    (ONE, True, "structure", "`output` is a bool, expected a tensor (was .item() called?)"),
    (ONE, ONE.tolist(), "structure", "`output` is a tuple or list, expected a tensor (was .tolist() called?)"),
    (ONE, None, "structure", "`output` is None, expected a tensor"),
    (ONE, ..., "structure", "`output` is `...`, expected a tensor"),
    (ONE, ONE.numpy(), "structure", "`output` is an array, expected a tensor (was .numpy() called?)"),
    (1.0, ONE, "structure", "`output` is a tensor, expected a number"),
    ({"click": ONE}, {"buy": ONE}, "structure", "`output` lacks ['click'] and has ['buy'] too many"),
    ((ONE, ONE), (ONE,), "structure", "`output` has 1 entries, expected 2"),
    (ONE, ONE.T, "shape", "`output` has shape [3, 2], expected [2, 3]"),
    (ONE, ONE.float(), "dtype", "`output` has dtype torch.float32, expected torch.float64"),
    (ONE, ONE.to("meta"), "device", "`output` has device meta, expected cpu"),
    (ONE, ONE / 0, "nan", "`output`: 6 of 6 elements are NaN or infinite; at [0, 0] got inf, expected 1"),
    (ONE / 0, ONE, "value", "at [0, 0] got 1, expected inf"),
    ({"click": [ONE]}, {"click": [ONE.clone().index_fill(1, torch.tensor([2]), 5)]}, "value",
     "`output['click'][0]`: 2 of 6 elements differ; at [0, 2] got 5, expected 1"),
    (2.5, 2.6, "value", "`output`: got 2.6, expected 2.5"),
    (True, False, "value", "`output` is False, expected True"),
    (np.arange(3), np.arange(3)[::-1], "value", "2 of 3 elements differ"),
])
def test_first_difference_is_named(expected, actual, kind, message):
    found = first_difference(expected, actual, 1e-6)
    assert found.kind == kind
    assert message in found.message


@pytest.mark.parametrize("actual", [{"click": ONE}, [ONE], (), None, ...])
def test_what_was_no_tensor_before_gets_no_hint(actual):
    assert "called" not in first_difference(ONE, actual, 1e-6).message


def test_list_may_stand_for_a_tuple():
    assert first_difference((ONE, 2), [ONE, 2.0], 1e-6) is None


def test_tolerance_grows_with_the_rounding_errors_of_the_precision():
    third = torch.full((4,), 1 / 3)
    assert first_difference(third, third + 2e-6, 1e-9) is None
    assert first_difference(third.double(), third.double() + 2e-6, 1e-9).kind == "value"


def test_tolerance_is_relative_for_large_values():
    assert first_difference(1e6, 1e6 + 0.5, 1e-6) is None
    assert first_difference(0.0, 0.5, 1e-6) is not None


def test_results_take_the_expected_floating_dtype_and_nothing_else():
    expected = {"a": (torch.tensor(0.5), torch.ones(2)), "b": torch.ones(2, dtype=torch.long)}
    cast = cast_like(expected, {"a": [0.5, torch.ones(2).double()], "b": torch.ones(2)})
    assert [value.dtype for value in (*cast["a"], cast["b"])] == [torch.float32, torch.float32, torch.float32]
    assert first_difference(expected, cast, 1e-6).kind == "dtype"
    assert first_difference(expected["a"], cast["a"], 1e-6) is None
