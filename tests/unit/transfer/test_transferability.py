import math

import pytest
import torch

from mtl_tutorial.transfer.importance import density_ratio, effective_rows
from mtl_tutorial.transfer.transferability import log_evidence, logme, proxy_a_distance


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_source_whose_features_explain_the_labels_scores_higher():
    features = normal(300, 5)
    labels = (features[:, 0] + 0.5 * normal(300, seed=1) > 0).long()
    assert logme(features, labels) > logme(normal(300, 5, seed=2), labels) + 0.1


def test_more_features_of_noise_do_not_raise_the_score():
    features = normal(60, 3)
    labels = (features[:, 0] + normal(60, seed=1) > 0).long()
    wide = torch.cat([features, normal(60, 50, seed=2)], 1)
    assert logme(wide, labels) < logme(features, labels)


def test_score_is_the_mean_evidence_of_the_classes():
    features, labels = normal(40, 3), torch.arange(40) % 3
    expected = sum(log_evidence(features, (labels == each).double()) for each in range(3)) / 3
    assert logme(features, labels, intercept=False) == pytest.approx(expected, abs=1e-12)
    assert logme(features.float(), labels.float(), intercept=False) == pytest.approx(expected, abs=1e-5)


def test_intercept_leaves_a_constant_among_the_features_without_merit():
    labels = (normal(300, seed=1) > 1).long()                   # one in six: there is a base rate to explain
    noise, constant = normal(300, 1), torch.ones(300, 1, dtype=torch.float64)
    assert logme(constant, labels, intercept=False) > logme(noise, labels, intercept=False) + 0.1
    assert logme(constant + noise, labels) == pytest.approx(logme(noise, labels), abs=1e-9)


def test_score_does_not_depend_on_the_basis_of_the_features():
    features, labels = normal(80, 4), (normal(80, seed=1) > 0).long()
    turn = torch.linalg.qr(normal(4, 4, seed=2)).Q
    assert logme(3 * features @ turn, labels) == pytest.approx(logme(features, labels), abs=1e-8)


def null(values):
    """The evidence per row of N(0, s) at the best s."""
    return -0.5 * (math.log(2 * math.pi * values.square().mean().item()) + 1)


@pytest.mark.parametrize("intercept", [True, False])
def test_features_that_are_all_dead_score_as_no_features_do(intercept):
    labels = (normal(50, seed=1) > 1).double()
    spread = (labels - labels.mean()) * math.sqrt(50 / 49) if intercept else labels
    assert log_evidence(torch.zeros(50, 4), labels, intercept) == pytest.approx(null(spread), abs=1e-12)
    if intercept:
        assert log_evidence(torch.full((50, 4), 0.1), labels, True) == pytest.approx(null(spread), abs=1e-12)


def test_dead_and_constant_features_beside_living_ones_change_nothing():
    features, labels = normal(50, 3), (normal(50, seed=1) > 0).long()
    padded = torch.cat([features, torch.zeros(50, 60), torch.full((50, 2), 0.7)], 1)
    assert logme(padded, labels) == pytest.approx(logme(features, labels), abs=1e-9)


@pytest.mark.parametrize("rows", [2, 3, 10, 30, 64, 65, 66, 200])
@pytest.mark.parametrize("width", [1, 3, 64])
def test_score_is_finite_and_no_lower_than_without_features(rows, width):
    for seed in range(20):
        features = normal(rows, width, seed=seed).float().relu()        # some units may be silent
        labels = torch.arange(rows) % 2
        found = logme(features, labels)
        assert math.isfinite(found)
        assert found >= logme(torch.zeros(rows, 1), labels) - 1e-9


def test_noise_of_as_many_features_as_rows_gains_next_to_nothing():
    """The direction of the constant explains nothing and must not be counted as explained: N ≤ d + 1."""
    labels = torch.arange(30) % 2
    gains = [logme(normal(30, 64, seed=seed), labels) - logme(torch.zeros(30, 1), labels) for seed in range(50)]
    assert max(gains) < 0.2
    assert sum(gains) / 50 < 0.03


def test_labels_that_the_features_hold_exactly_score_high_but_finitely():
    labels = (normal(50, seed=1) > 0).long()
    exact = torch.cat([labels.double().unsqueeze(1), normal(50, 2)], 1)
    assert 3 < logme(exact, labels) - logme(normal(50, 3), labels) < 10


def test_labels_without_two_classes_are_refused():
    with pytest.raises(ValueError, match=r"all 8 labels are \[1\.0\]: any source explains them"):
        logme(normal(8, 2), torch.ones(8))
    with pytest.raises(ValueError, match="nothing to explain"):
        log_evidence(normal(8, 2), torch.zeros(8))
    with pytest.raises(ValueError, match="8 rows, 0 values off their mean: there is nothing to explain"):
        log_evidence(normal(8, 2), torch.ones(8), intercept=True)


def test_a_distance_is_zero_for_equal_domains_and_two_for_separate_ones():
    assert proxy_a_distance(normal(2000, 3), normal(2000, 3, seed=1)) == pytest.approx(0, abs=0.15)
    assert proxy_a_distance(normal(200, 3), normal(300, 3, seed=1) + 9) == 2


def test_a_distance_of_a_shift_is_that_of_the_best_linear_judge():
    """N(0, 1) against N(2, 1): the best judge errs with Φ(−1) = 0.1587, whatever the shares of rows."""
    found = proxy_a_distance(normal(4000, 1), normal(12_000, 1, seed=1) + 2)
    assert found == pytest.approx(2 * (1 - 2 * 0.1587), abs=0.06)


def test_density_ratio_of_two_normals_is_met():
    """N(0, 1) against N(1, 1): log p_T/p_S = x − ½."""
    source, target = normal(20_000, 1), normal(10_000, 1, seed=1) + 1
    weights = density_ratio(source, target)
    expected = (source[:, 0] - 0.5).exp()
    torch.testing.assert_close(weights.log(), (expected / expected.mean()).log(), rtol=0, atol=0.2)
    assert weights.mean().item() == pytest.approx(1)
    assert (weights * source[:, 0]).mean().item() == pytest.approx(1, abs=0.1)
    assert effective_rows(weights) == pytest.approx(20_000 / torch.e, rel=0.15)


def test_regularization_holds_the_weights_together():
    source, target = normal(500, 2), normal(500, 2, seed=1) + 1
    worth = [effective_rows(density_ratio(source, target, strength)) for strength in (1e-6, 1e-2, 1.0)]
    assert worth[0] > 499 > 1.1 * worth[1] > 1.1 * worth[2]


def test_unit_of_a_column_does_not_change_the_weights():
    source, target = normal(500, 2), normal(500, 2, seed=1) + 1
    unit, level = torch.tensor([1000.0, 0.01], dtype=torch.float64), torch.tensor([0.0, 5.0], dtype=torch.float64)
    found = density_ratio(unit * source + level, unit * target + level, 0.01)
    torch.testing.assert_close(found, density_ratio(source, target, 0.01), rtol=1e-3, atol=1e-3)


def test_equal_weights_are_worth_all_rows():
    assert effective_rows(torch.full((30,), 0.2)) == pytest.approx(30)
    assert effective_rows(torch.eye(30)[3]) == 1
