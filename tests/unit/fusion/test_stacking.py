import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from mtl_tutorial.fusion.stacking import stacked_weights


def draw(seed, problems=3, experts=4, rows=300):
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(problems, experts, rows, generator=generator, dtype=torch.float64)
    clicks = torch.rand(problems, rows, generator=generator) < (parts.sum(1) - 1).sigmoid()
    return parts, clicks.double()


def objective(found, logits, targets, ridge, centre=0.0):
    loss = F.binary_cross_entropy_with_logits(found.fuse(logits), targets, reduction="none").sum(-1)
    return loss + ridge / 2 * (found.weights - centre).square().sum(-1)


@pytest.mark.parametrize("ridge", [0.01, 1.0, 100.0])
def test_weights_are_those_of_scikit_learn(ridge):
    logits, targets = draw(0)
    found = stacked_weights(logits, targets, ridge)
    for r in range(3):
        theirs = LogisticRegression(C=1 / ridge, tol=1e-12, max_iter=10_000)
        theirs.fit(logits[r].T.numpy(), targets[r].numpy())
        assert found.weights[r].numpy() == pytest.approx(theirs.coef_[0], abs=1e-6)
        assert found.intercept[r].item() == pytest.approx(theirs.intercept_[0], abs=1e-6)


def test_evidence_of_different_kinds_adds_up():
    """Each expert knows a part of the log-odds: the best weights are all 1, far off the simplex."""
    logits, targets = draw(1, rows=20_000)
    assert (stacked_weights(logits, targets).weights - 1).abs().max() < 0.12


@pytest.mark.parametrize("centre", [None, torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)])
def test_gradient_vanishes(centre):
    logits, targets = draw(2)
    found = stacked_weights(logits, targets, 5.0, centre=centre)
    free = [part.clone().requires_grad_() for part in found]
    objective(type(found)(*free), logits, targets, 5.0, 0.0 if centre is None else centre).sum().backward()
    assert max(part.grad.abs().max() for part in free) < 1e-6


def test_strong_ridge_gives_the_centre_and_the_base_rate():
    logits, targets = draw(3)
    centre = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    found = stacked_weights(logits, targets, 1e9, centre=centre)
    torch.testing.assert_close(found.weights, centre.expand(3, 4), rtol=0, atol=1e-6)
    rate = found.fuse(logits).sigmoid().mean(-1)
    torch.testing.assert_close(rate, targets.mean(-1), rtol=0, atol=1e-9)


def test_scenarios_are_found_together_as_one_by_one():
    logits, targets = draw(4)
    scenario = torch.arange(300) % 3
    members = F.one_hot(scenario).T.double()
    together = stacked_weights(logits.unsqueeze(1), targets.unsqueeze(1), row_weights=members)
    assert together.weights.shape == (3, 3, 4)
    for s in range(3):
        alone = stacked_weights(logits[..., scenario == s], targets[..., scenario == s])
        torch.testing.assert_close(together.weights[:, s], alone.weights, rtol=0, atol=1e-8)
        torch.testing.assert_close(together.intercept[:, s], alone.intercept, rtol=0, atol=1e-8)


def test_experts_that_part_the_labels_still_have_a_fit():
    """Newton's own step overshoots here by far."""
    logits, targets = draw(5)
    logits[:, 0] = 50 * (2 * targets - 1)
    found = stacked_weights(logits, targets, 0.1)
    assert found.weights.isfinite().all()
    assert objective(found, logits, targets, 0.1).max() < 1


def test_copies_share_their_weight():
    logits, targets = draw(6)
    found = stacked_weights(torch.cat([logits, logits[:, :1]], 1), targets)
    torch.testing.assert_close(found.weights[:, 0], found.weights[:, 4], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("change", "told"), [
    (lambda z, y: (z, y, 0.0), "ridge=0.0 must be above 0"),
    (lambda z, y: (z[:, :1], y), "at least 2 experts"),
    (lambda z, y: (z, y[:, :-1]), "targets have shape"),
    (lambda z, y: (z, 2 * y), "labels must be 0 or 1"),
])
def test_what_cannot_be_fused_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        stacked_weights(*change(*draw(7)))


@pytest.mark.parametrize("seed", range(8))
def test_labels_that_are_all_equal_are_refused_with_their_problem(seed):
    logits, targets = draw(seed)
    targets[1] = seed % 2
    with pytest.raises(ValueError, match=r"equal in problem \[1\]: the intercept has no limit"):
        stacked_weights(logits, targets)


def test_labels_that_are_all_equal_among_the_rows_that_count_are_refused():
    logits, targets = draw(8)
    with pytest.raises(ValueError, match="all labels that count are equal"):
        stacked_weights(logits, targets, row_weights=targets)
