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


def test_labels_without_two_classes_are_refused():
    with pytest.raises(ValueError, match=r"all 8 labels are \[1\.0\]: any source explains them"):
        logme(normal(8, 2), torch.ones(8))
    with pytest.raises(ValueError, match="nothing to explain"):
        log_evidence(normal(8, 2), torch.zeros(8))


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


def test_equal_weights_are_worth_all_rows():
    assert effective_rows(torch.full((30,), 0.2)) == pytest.approx(30)
    assert effective_rows(torch.eye(30)[3]) == 1
