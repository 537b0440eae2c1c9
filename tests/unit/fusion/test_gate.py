import pytest
import torch
from torch.nn import functional as F

from mtl_tutorial.fusion.convex import convex_weights
from mtl_tutorial.fusion.gate import fit_gate, gate_weights
from mtl_tutorial.fusion.weighted_mean import weighted_mean


def draw(seed, rows=2000):
    """In each of two contexts another of three experts is right; the third says the base rate."""
    generator = torch.Generator().manual_seed(seed)
    context = torch.randint(2, (2, rows), generator=generator)
    parts = torch.randn(2, 3, rows, generator=generator, dtype=torch.float64)
    parts[:, 2] = 0
    chances = parts.gather(1, context.unsqueeze(1)).squeeze(1).sigmoid()
    clicks = (torch.rand(2, rows, generator=generator) < chances).double()
    return parts.sigmoid(), clicks, F.one_hot(context).double()


def test_each_context_trusts_its_own_expert():
    probabilities, clicks, context = draw(0)
    weights = gate_weights(fit_gate(probabilities, clicks, context), context)
    assert weights.shape == (2, 3, 2000)
    for number in (0, 1):
        inside = context[0, :, number] > 0
        assert weights[0, number, inside].min() > 0.7
        assert weights[0, 1 - number, inside].max() < 0.2
    fused = weighted_mean(probabilities, weights)
    pooled = weighted_mean(probabilities, convex_weights(probabilities, clicks))
    assert F.binary_cross_entropy(fused, clicks) < F.binary_cross_entropy(pooled, clicks) - 0.02


def test_without_context_a_gate_is_a_convex_mean():
    probabilities, clicks, _ = draw(1)
    ones = torch.ones(2, 2000, 1, dtype=torch.float64)
    weights = gate_weights(fit_gate(probabilities, clicks, ones, ridge=1e-6), ones)[..., 0]
    torch.testing.assert_close(weights, convex_weights(probabilities, clicks), rtol=0, atol=1e-3)


def test_indicators_of_scenarios_are_weights_of_each():
    probabilities, clicks, context = draw(2)
    weights = gate_weights(fit_gate(probabilities[0], clicks[0], context[0], ridge=1e-6), torch.eye(2)).T  # [S, M]
    own = convex_weights(probabilities[0], clicks[0], row_weights=context[0].T)
    torch.testing.assert_close(weights, own, rtol=0, atol=1e-3)


def test_gradient_vanishes():
    probabilities, clicks, context = draw(3)
    coefficients = fit_gate(probabilities, clicks, context, ridge=2.0).requires_grad_()
    fused = (gate_weights(coefficients, context) * probabilities).sum(-2)
    (F.binary_cross_entropy(fused, clicks, reduction="sum") + coefficients.square().sum()).backward()
    assert coefficients.grad.abs().max() < 2e-3


def test_strong_ridge_gives_equal_weights():
    probabilities, clicks, context = draw(4)
    weights = gate_weights(fit_gate(probabilities, clicks, context, ridge=1e8), context)
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 3), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("change", "told"), [
    (lambda p, y, c: (p, y, c[:, 1:]), "context has 1999 rows"),
    (lambda p, y, c: (p, y, c, 0.0), "ridge=0.0 must be above 0"),
    (lambda p, y, c: (p.logit(), y, c), "are they logits"),
    (lambda p, y, c: (p[:, :1], y, c), "at least 2 experts"),
])
def test_what_cannot_be_gated_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        fit_gate(*change(*draw(5)))
