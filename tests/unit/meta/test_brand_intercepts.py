import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from mtl_tutorial.meta.brand_intercepts import brand_intercepts


def draw(seed, tasks=6, purchases=4, places=3):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(tasks, purchases, places, generator=generator, dtype=torch.float64),
            torch.randint(places, (tasks, purchases), generator=generator),
            torch.arange(purchases) < torch.randint(1, purchases + 1, (tasks, 1), generator=generator))


def objective(intercepts, rows, places, precision):
    """What the intercepts of one household minimise."""
    scores = rows + intercepts
    picked = scores[np.arange(len(places)), places]
    return (logsumexp(scores, 1) - picked).sum() + precision / 2 * intercepts @ intercepts


@pytest.mark.parametrize("precision", [0.05, 0.5, 5.0])
def test_intercepts_are_the_maximum_that_a_general_optimiser_finds(precision):
    logits, bought, seen = draw(0)
    found = brand_intercepts(logits, bought, seen, precision)
    for task in range(len(logits)):
        rows, places = logits[task][seen[task]].numpy(), bought[task][seen[task]].numpy()
        best = minimize(objective, np.zeros(3), (rows, places, precision), "BFGS", options={"gtol": 1e-9}).x
        assert found[task].numpy() == pytest.approx(best, abs=1e-6)


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
