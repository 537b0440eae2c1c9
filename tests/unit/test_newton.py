import pytest
import torch

from mtl_tutorial.newton import damped_newton


def logistic(x, y, ridge):
    """Slope, curvature and reach of logistic regressions [K] on rows x [K, N, P] with labels y [K, N]."""
    held = ridge * torch.eye(x.shape[-1], dtype=x.dtype)

    def expansion(w):
        p = (x @ w.unsqueeze(-1)).squeeze(-1).sigmoid()                                 # [K, N]
        bend = (p * (1 - p)).unsqueeze(-1)
        return ((p - y).unsqueeze(-2) @ x).squeeze(-2) + ridge * w, x.mT @ (bend * x) + held

    return expansion, lambda step: (x @ step.unsqueeze(-1)).squeeze(-1).abs().amax(-1)


def problems(seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(3, 40, 2, generator=generator, dtype=torch.float64)
    return x, (torch.rand(3, 40, generator=generator) < (2 * x[..., 0]).sigmoid()).double()


@pytest.mark.parametrize("start", [0.0, 30.0])
def test_slope_vanishes_also_from_a_start_where_a_whole_step_diverges(start):
    expansion, reach = logistic(*problems(), ridge=1e-3)
    found = damped_newton(expansion, reach, torch.full((3, 2), start, dtype=torch.float64))
    assert expansion(found)[0].abs().max() < 1e-6


def test_whole_steps_diverge_from_that_start():
    expansion, _ = logistic(*problems(), ridge=1e-3)
    point = torch.full((3, 2), 30.0, dtype=torch.float64)
    for _ in range(20):
        slope, curvature = expansion(point)
        point = point - torch.linalg.solve(curvature, slope.unsqueeze(-1)).squeeze(-1)
    assert not point.abs().max() < 100


def test_problems_do_not_mix():
    x, y = problems(1)
    expansion, reach = logistic(x, y, ridge=0.1)
    together = damped_newton(expansion, reach, torch.zeros(3, 2, dtype=torch.float64))
    for k in range(3):
        alone = damped_newton(*logistic(x[k:k + 1], y[k:k + 1], 0.1), torch.zeros(1, 2, dtype=torch.float64))
        torch.testing.assert_close(together[k:k + 1], alone, rtol=0, atol=1e-8)


def test_a_column_of_zeros_that_nothing_holds_is_refused():
    x, y = problems(2)
    x[..., 1] = 0
    with pytest.raises(RuntimeError, match="not positive definite"):
        damped_newton(*logistic(x, y, 0.0), torch.zeros(3, 2, dtype=torch.float64))


def test_classes_that_are_parted_without_a_ridge_do_not_converge():
    x, _ = problems(3)
    with pytest.raises(RuntimeError, match=r"still moves|not positive definite"):
        damped_newton(*logistic(x, (x[..., 0] > 0).double(), 0.0), torch.zeros(3, 2, dtype=torch.float64))
