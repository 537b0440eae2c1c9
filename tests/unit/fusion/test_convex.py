import pytest
import torch
from torch.nn import functional as F

from mtl_tutorial.balancing.simplex import shortest
from mtl_tutorial.fusion.convex import convex_weights


def draw(seed, problems=3, experts=4, rows=400):
    """Experts that each know a part of the log-odds, and labels."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(problems, experts, rows, generator=generator, dtype=torch.float64)
    parts = parts * torch.linspace(0.2, 1.2, experts).unsqueeze(-1)
    clicks = torch.rand(problems, rows, generator=generator) < (parts.sum(1) - 1).sigmoid()
    return (parts - 1).sigmoid(), clicks.double()


def log_loss(weights, predictions, targets):
    fused = (weights.unsqueeze(-1) * predictions).sum(-2)
    return -torch.where(targets == 1, fused, 1 - fused).log().mean(-1)


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_weights_are_on_the_simplex_and_no_others_are_better(loss):
    predictions, targets = draw(0)
    weights = convex_weights(predictions, targets, loss)
    assert weights.min() >= 0
    assert weights.sum(-1).allclose(torch.ones(3, dtype=torch.float64), atol=1e-12)
    others = torch.distributions.Dirichlet(torch.full((4,), 0.5, dtype=torch.float64)).sample((500, 1))

    def of(weights):
        if loss == "log":
            return log_loss(weights, predictions, targets)
        return ((weights.unsqueeze(-1) * predictions).sum(-2) - targets).square().mean(-1)

    assert (of(weights) <= of(others)).all()


def test_squared_error_is_the_shortest_mixture_of_the_errors():
    """The problem that MGDA solves for gradients, there by active sets."""
    predictions, targets = draw(1)
    found = convex_weights(predictions, targets, "squared")
    for weights, own, wanted in zip(found, predictions, targets, strict=True):
        torch.testing.assert_close(weights, shortest(own - wanted), rtol=0, atol=1e-8)


def test_problems_do_not_disturb_each_other():
    predictions, targets = draw(2)
    for loss in ("log", "squared"):
        together = convex_weights(predictions, targets, loss)
        apart = torch.stack([convex_weights(*one, loss) for one in zip(predictions, targets, strict=True)])
        torch.testing.assert_close(together, apart, rtol=0, atol=1e-8)


def test_row_weights_of_nought_leave_rows_out_and_of_two_count_them_twice():
    predictions, targets = draw(3)
    counts = (torch.arange(400) % 3).double()
    kept = torch.arange(400).repeat_interleave(counts.long())
    for loss in ("log", "squared"):
        weighed = convex_weights(predictions, targets, loss, counts)
        repeated = convex_weights(predictions[..., kept], targets[..., kept], loss)
        torch.testing.assert_close(weighed, repeated, rtol=0, atol=1e-7)


def test_scenarios_are_found_together_as_one_by_one():
    predictions, targets = draw(4)
    scenario = torch.arange(400) % 3
    members = F.one_hot(scenario).T.double()
    together = convex_weights(predictions.unsqueeze(1), targets.unsqueeze(1), row_weights=members)
    assert together.shape == (3, 3, 4)
    for s in range(3):
        alone = convex_weights(predictions[..., scenario == s], targets[..., scenario == s])
        torch.testing.assert_close(together[:, s], alone, rtol=0, atol=1e-7)


def test_perfect_expert_takes_all():
    predictions, targets = draw(5)
    predictions[:, 2] = targets * 0.98 + 0.01
    for loss in ("log", "squared"):
        assert convex_weights(predictions, targets, loss)[:, 2].min() > 0.9


def test_expert_that_is_certain_and_wrong_costs_no_more_than_its_weight():
    """Its probability of the label is nought: a logarithm of nought must not end the search."""
    predictions, targets = draw(6)
    predictions[:, 0] = 1 - targets
    weights = convex_weights(predictions, targets)
    assert weights.isfinite().all()
    assert weights[:, 0].max() < 1e-6


@pytest.mark.parametrize(("change", "told"), [
    (lambda p, y: (p.logit(), y), "are they logits"),
    (lambda p, y: (p, y + 0.5), "labels must be 0 or 1, but row 0 has"),
    (lambda p, y: (p[:, :1], y), "at least 2 experts"),
    (lambda p, y: (p, y[:, 1:]), "targets have shape"),
    (lambda p, y: (p, y, "absolute"), "neither 'log' nor 'squared'"),
    (lambda p, y: (p, y, "log", torch.zeros(400)), "one row that counts"),
    (lambda p, y: (p, y, "log", torch.ones(399)), "row_weights have shape"),
    (lambda p, y: (p.index_fill(-1, torch.tensor([7]), torch.nan), y), "expert 0 predicts .* for row 7"),
])
def test_what_cannot_be_fused_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        convex_weights(*change(*draw(7)))
