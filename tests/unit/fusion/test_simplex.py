import pytest
import torch

from mtl_tutorial.fusion.simplex import least_on_simplex, project_to_simplex


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("values", "nearest"), [
    ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
    ([1.0, 1.0, 1.0], [1 / 3, 1 / 3, 1 / 3]),
    ([2.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
    ([-5.0, -5.0, -6.5], [0.5, 0.5, 0.0]),
    ([0.9, 0.5, -0.4], [0.7, 0.3, 0.0]),
])
def test_projection_by_hand(values, nearest):
    torch.testing.assert_close(project_to_simplex(torch.tensor(values)), torch.tensor(nearest))


def test_no_point_of_the_simplex_is_nearer():
    values = 2 * normal(50, 5, seed=0)
    found = project_to_simplex(values)
    assert found.min() >= 0
    assert found.sum(-1).allclose(torch.ones(50, dtype=torch.float64), atol=1e-14)
    others = torch.distributions.Dirichlet(torch.full((5,), 0.5, dtype=torch.float64)).sample((2000, 1))
    angle = ((values - found) * (others - found)).sum(-1)
    assert angle.max() < 1e-12, "obtuse from the nearest point to every other"


def test_projection_of_many_is_that_of_each():
    values = normal(3, 4, 6, seed=1)
    one_by_one = torch.stack([project_to_simplex(row) for row in values.flatten(0, 1)]).view(3, 4, 6)
    assert project_to_simplex(values).equal(one_by_one)


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6])
def test_least_point_satisfies_the_conditions_of_optimality(condition):
    """Where a weight is above nought the gradient is least; elsewhere it is no less (Karush, Kuhn and Tucker)."""
    basis = torch.linalg.qr(normal(20, 6, 6, seed=2)).Q
    spectrum = torch.logspace(0, torch.tensor(condition).log10().item(), 6, dtype=torch.float64)
    curvature = basis @ torch.diag(spectrum) @ basis.transpose(-1, -2)
    slope = normal(20, 6, seed=3)
    weights = least_on_simplex(curvature, slope)
    gradient = (curvature @ weights.unsqueeze(-1)).squeeze(-1) + slope
    above = gradient - gradient.amin(-1, keepdim=True)
    assert above.min() >= 0
    assert (above * (weights > 0)).max() / condition < 1e-9
    assert ((weights > 0).sum(-1) < 6).any(), "some solutions must lie on a face, or the test shows little"


def test_two_copies_share_their_weight():
    rows = normal(4, 30, seed=4)
    rows = torch.cat([rows, rows[:1]])
    weights = least_on_simplex(rows @ rows.T, torch.zeros(5, dtype=torch.float64))
    assert weights[0].item() == pytest.approx(weights[4].item(), abs=1e-9)
    assert weights[0] > 0.01
