import pytest
import torch

from mtl_tutorial.meta.maml import inner_step
from mtl_tutorial.meta.meta_gradient import meta_gradient


def support_loss(weights):
    return (weights.sin() * weights.flip(0)).sum() + (weights ** 4).sum()


def query_loss(weights):
    return (weights ** 2).prod() + weights.exp().sum()


@pytest.mark.parametrize("first_order", [False, True])
def test_it_is_what_autograd_finds_through_the_inner_step(first_order):
    weights = torch.randn(4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    moved = inner_step({"w": weights}, lambda weights: support_loss(weights["w"]), 0.1, first_order)["w"]
    [expected] = torch.autograd.grad(query_loss(moved), weights)
    found = meta_gradient(weights, support_loss, query_loss, 0.1, first_order)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert not found.requires_grad


@pytest.mark.parametrize(("first_order", "factor"), [(False, (1 - 0.1 * 4) ** 2), (True, 1 - 0.1 * 4)])
def test_of_a_parabola_it_is_known(first_order, factor):
    bowl = lambda weights: (2 * (weights - 3) ** 2).sum()           # noqa: E731
    found = meta_gradient(torch.tensor([1.0]), bowl, bowl, 0.1, first_order)
    assert found.item() == pytest.approx(4 * (1 - 3) * factor)
