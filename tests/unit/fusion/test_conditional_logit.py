import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mtl_tutorial.fusion.conditional_logit import conditional_logit


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def choices(x, beta, seed=0):
    p = (x @ beta).softmax(-1)
    return torch.multinomial(p, 1, generator=torch.Generator().manual_seed(seed)).squeeze(-1)


def test_slope_of_the_penalised_loss_is_zero_there():
    x, weights = normal(60, 4, 3), normal(2, 60, seed=1).abs()
    chosen = choices(x, torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    found = conditional_logit(x, chosen, weights, ridge=0.3)
    for r in range(2):
        beta = found[r].clone().requires_grad_()
        loss = (weights[r] * torch.nn.functional.cross_entropy(x @ beta, chosen, reduction="none")).sum()
        (loss + 0.15 * beta.square().sum()).backward()
        assert beta.grad.abs().max() < 1e-6


def test_two_offers_are_a_logistic_regression_on_their_difference():
    x = normal(80, 2, 3)
    chosen = choices(x, torch.tensor([1.0, -1.0, 0.3], dtype=torch.float64))
    found = conditional_logit(x, chosen, torch.ones(1, 80), ridge=0.5)
    reference = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-10, max_iter=1000)
    reference.fit(x[:, 1] - x[:, 0], chosen)
    torch.testing.assert_close(found[0], torch.tensor(reference.coef_[0]), rtol=0, atol=1e-5)


def test_rows_without_weight_have_no_influence_and_fits_may_differ_in_features():
    x = normal(2, 60, 4, 3)
    chosen = choices(x[0], torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    weights = torch.ones(2, 60)
    weights[0, 40:] = 0
    found = conditional_logit(x, chosen, weights)
    first = conditional_logit(x[0, :40], chosen[:40], torch.ones(1, 40))[0]
    second = conditional_logit(x[1], chosen, torch.ones(1, 60))[0]
    torch.testing.assert_close(found, torch.stack([first, second]), rtol=0, atol=1e-9)


def test_a_feature_that_parts_the_choices_is_held_by_the_ridge():
    x = torch.zeros(30, 3, 1, dtype=torch.float64)
    x[:, 0] = 100.0
    assert conditional_logit(x, torch.zeros(30, dtype=torch.long), torch.ones(1, 30)).isfinite().all()


def test_refuses_shapes_that_do_not_fit_and_no_ridge():
    chosen = torch.zeros(5, dtype=torch.long)
    with pytest.raises(ValueError, match=r"expected \[rows, offers, features\]"):
        conditional_logit(normal(4, 3, 2), chosen, torch.ones(1, 5))
    with pytest.raises(ValueError, match=r"ridge=0\.0 must be above 0"):
        conditional_logit(normal(5, 3, 2), chosen, torch.ones(1, 5), ridge=0.0)
