"""The limit on the largest entry of a task's gradient."""

import pytest
import torch

from mtl_tutorial.balancing.infinity_norm import InfinityNormLimit, limit_infinity_norm
from mtl_tutorial.balancing.jacobian import Jacobian


def test_gradient_above_the_limit_is_scaled_down_to_it_in_its_own_direction():
    gradient = torch.tensor([1.0, -8.0, 2.0])
    limited = limit_infinity_norm(gradient, 2.0)
    assert limited.tolist() == [0.25, -2.0, 0.5]        # not [1, −2, 2], which cutting entry by entry would give


@pytest.mark.parametrize("gradient", [[1e-9, -1e-12], [0.5, -2.0], [0.0, 0.0]])
def test_gradient_within_the_limit_is_never_scaled_up(gradient):
    gradient = torch.tensor(gradient)
    assert torch.equal(limit_infinity_norm(gradient, 2.0), gradient)


@pytest.mark.parametrize("repeats", [None, 4])
def test_aggregator_limits_each_task_by_all_its_blocks_and_sums(repeats):
    leading = () if repeats is None else (repeats,)
    sizes = torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)
    first = sizes.reshape(3, *(1,) * len(leading), 1, 1) * torch.randn(3, *leading, 2, 5, dtype=torch.float64)
    second = sizes.reshape(3, *(1,) * len(leading), 1) * torch.randn(3, *leading, 7, dtype=torch.float64)
    jacobian = Jacobian(list(zip(first, second, strict=True)), stacked=repeats is not None)
    weights = InfinityNormLimit(1.0)(jacobian)
    assert weights.max() <= 1
    combined = torch.cat([block.flatten(len(leading)) for block in jacobian.combine(weights)], -1)

    rows = torch.cat([first.flatten(-2), second], -1).movedim(0, -2).reshape(-1, 3, 17)     # [1 or R, K, P]
    expected = torch.stack([sum(limit_infinity_norm(row, 1.0) for row in matrix) for matrix in rows])
    assert any(not torch.equal(limit_infinity_norm(row, 1.0), row) for row in rows[0])
    torch.testing.assert_close(combined.reshape(-1, 17), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("limit", [0, -1.0])
def test_limit_is_positive(limit):
    with pytest.raises(ValueError, match=f"limit={limit} must be positive"):
        InfinityNormLimit(limit)
