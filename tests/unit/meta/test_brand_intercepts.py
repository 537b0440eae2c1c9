import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from mtl_tutorial.meta.brand_intercepts import brand_intercepts


def draw(seed, tasks=6, purchases=5, places=4, size=3.0):
    """Households whose model is surer of itself than that of the scanner panels, whose logits deviate by 1."""
    generator = torch.Generator().manual_seed(seed)
    return (size * torch.randn(tasks, purchases, places, generator=generator, dtype=torch.float64),
            torch.randint(places, (tasks, purchases), generator=generator),
            torch.arange(purchases) < torch.randint(1, purchases + 1, (tasks, 1), generator=generator))


def objective(intercepts, rows, bought, precision):
    """What the intercepts of one household minimise, and its gradient."""
    scores = rows + intercepts
    value = (logsumexp(scores, 1) - scores[np.arange(len(bought)), bought]).sum()
    slope = (softmax(scores, 1) - np.eye(len(intercepts))[bought]).sum(0)
    return value + precision / 2 * intercepts @ intercepts, slope + precision * intercepts


@pytest.mark.parametrize("precision", [0.02, 0.1, 0.5, 5.0])
@pytest.mark.parametrize("seed", range(20))
def test_intercepts_are_the_maximum_that_a_general_optimiser_finds(seed, precision):
    logits, bought, seen = draw(seed)
    found = brand_intercepts(logits, bought, seen, precision)
    for task in range(len(logits)):
        household = logits[task][seen[task]].numpy(), bought[task][seen[task]].numpy(), precision
        best = minimize(objective, np.zeros(4), household, "BFGS", jac=True, options={"gtol": 1e-9}).x
        assert found[task].numpy() == pytest.approx(best, abs=1e-5)


def test_a_household_that_bought_what_the_model_holds_for_impossible_still_has_a_maximum():
    """Undamped, Newton's first step would go 150 too far."""
    logits, bought = torch.tensor([[[0.0, -20.0]]]), torch.tensor([[1]])
    found = brand_intercepts(logits, bought, torch.tensor([[True]]), 0.01)
    assert found.sum().item() == pytest.approx(0, abs=1e-5)
    gap = (found[0, 1] - found[0, 0]).item()
    assert 0.01 * gap == pytest.approx(2 / (1 + np.exp(gap - 20)), rel=1e-4)


def test_household_of_which_nothing_was_seen_is_the_population():
    logits, bought, seen = draw(1)
    assert brand_intercepts(logits, bought, torch.zeros_like(seen), 0.5).abs().max() == 0


def test_what_was_not_seen_has_no_influence():
    logits, bought, seen = draw(2)
    other = torch.where(seen.unsqueeze(-1), logits, torch.nan), torch.where(seen, bought, 0)
    assert brand_intercepts(*other, seen, 0.5).equal(brand_intercepts(logits, bought, seen, 0.5))


def test_empty_place_keeps_the_intercept_zero():
    logits, bought, seen = draw(3)
    padded = torch.cat([logits, torch.full_like(logits[..., :1], torch.finfo(logits.dtype).min)], -1)
    found = brand_intercepts(padded, bought, seen, 0.5)
    assert found[:, -1].abs().max() == 0
    assert found[:, :-1].allclose(brand_intercepts(logits, bought, seen, 0.5), atol=1e-12)


def test_precision_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="precision must be above 0, not 0"):
        brand_intercepts(*draw(4), 0)
