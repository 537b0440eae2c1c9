import numpy as np
import pytest
import torch

from mtl_tutorial.data.related_tasks import NOISE, related_tasks


def slopes(table, target):
    """Return the least-squares weights of a target on the features, [D] (what is linear in the label)."""
    solution = torch.linalg.lstsq(table.numeric.double(), table.targets[target].double().unsqueeze(-1))
    return solution.solution.squeeze(-1)


def label_correlation(table):
    return np.corrcoef(table.targets["first"], table.targets["second"])[0, 1]


@pytest.mark.parametrize("p", [-1.0, -0.5, 0.0, 0.6, 1.0])
def test_regression_finds_weights_whose_cosine_is_the_dial(p):
    table = related_tasks(40_000, p, features=8)
    cosine = torch.cosine_similarity(slopes(table, "first"), slopes(table, "second"), dim=0).item()
    assert cosine == pytest.approx(p, abs=0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_correlate_more_the_nearer_the_weights(seed):
    found = [label_correlation(related_tasks(20_000, p, seed=seed)) for p in (0.0, 0.5, 0.9, 1.0)]
    assert found == sorted(found)
    assert abs(found[0]) < 0.1
    assert found[-1] > 0.99


def test_label_is_its_mean_plus_noise_of_the_stated_variance():
    table = related_tasks(50_000, 0.5)
    for name in ("first", "second"):
        noise = table.targets[name] - table.truth[f"oracle.{name}"]
        assert noise.mean().abs() < 0.003
        assert noise.var().item() == pytest.approx(NOISE**2, rel=0.05)


def test_at_correlation_one_both_tasks_have_the_same_mean():
    table = related_tasks(100, 1.0)
    torch.testing.assert_close(table.truth["oracle.first"], table.truth["oracle.second"])
    assert not torch.equal(table.targets["first"], table.targets["second"])


def test_draw_depends_on_the_seed_alone():
    first, again, other = (related_tasks(50, 0.3, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first.numeric, again.numeric)
    assert torch.equal(first.targets["second"], again.targets["second"])
    assert not torch.equal(first.numeric, other.numeric)


@pytest.mark.parametrize("p", [1.2, -1.01, float("nan")])
def test_correlation_outside_its_range_is_refused(p):
    with pytest.raises(ValueError, match=f"correlation={p} is outside −1 … 1"):
        related_tasks(10, p)


def test_one_feature_has_no_room_for_two_directions():
    with pytest.raises(ValueError, match="features=1: two directions need at least 2"):
        related_tasks(10, 0.5, features=1)
