"""CORAL, MMD and LogME against closed forms and plain loops, in float64."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import helmert
from scipy.optimize import minimize
from scipy.spatial.distance import pdist
from scipy.stats import multivariate_normal
from sklearn.metrics.pairwise import rbf_kernel as sklearn_rbf

from mtl_tutorial.transfer.coral import CORAL, coral_loss, recolour
from mtl_tutorial.transfer.mmd import MMD, median_bandwidth, squared_distances, squared_mmd
from mtl_tutorial.transfer.transferability import log_evidence


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def samples(rows=(9, 6), width=3):
    return normal(rows[0], width, seed=1), 1.5 * normal(rows[1], width, seed=2) + 0.5


def mixed(source, target):
    """Return the rows of both in random order, and where they are the target's."""
    order = torch.randperm(len(source) + len(target), generator=torch.Generator().manual_seed(3))
    return torch.cat([source, target])[order], (order >= len(source))


def assert_equal(found, expected):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


# --- CORAL -----------------------------------------------------------------------------------------------------

def test_coral_is_the_distance_of_numpy_covariances():
    source, target = samples()
    gap = np.cov(source.T) - np.cov(target.T)
    assert_equal(coral_loss(source, target), (gap**2).sum() / (4 * 3**2))


def test_coral_of_the_paper_by_its_own_formula():
    source, target = samples()

    def of_paper(rows):
        ones = torch.ones(1, len(rows), dtype=torch.float64)
        return (rows.T @ rows - (ones @ rows).T @ (ones @ rows) / len(rows)) / (len(rows) - 1)

    assert_equal(coral_loss(source, target), (of_paper(source) - of_paper(target)).square().sum() / 36)


def test_coral_of_two_scales_is_known_in_closed_form():
    """Covariances C and s²C: the distance is (s² − 1)² ‖C‖² / 4d²; a shift changes nothing."""
    source, _ = samples()
    expected = (2.5**2 - 1) ** 2 * (np.cov(source.T) ** 2).sum() / 36
    assert_equal(coral_loss(source, 2.5 * source + 7), expected)


def test_coral_in_a_mixed_batch_equals_coral_of_the_two_samples():
    source, target = samples()
    one, other = source.clone().requires_grad_(), target.clone().requires_grad_()
    coral_loss(one, other).backward()
    rows, is_target = mixed(source, target)
    rows.requires_grad_()
    found = CORAL(3.0)(rows, is_target)
    found.backward()
    assert_equal(found.detach(), 3 * coral_loss(source, target))
    assert_equal(rows.grad.square().sum(), 9 * (one.grad.square().sum() + other.grad.square().sum()))


def test_recoloured_columns_have_the_mean_and_covariance_of_the_target():
    source, target = samples((50, 40))
    found = recolour(source, target)
    assert_equal(found.mean(0), target.mean(0))
    assert_equal(torch.cov(found.T), torch.cov(target.T))


def test_recolouring_undoes_a_symmetric_blend_of_white_columns_and_not_a_rotation():
    source, _ = samples((50, 40))
    centred = source - source.mean(0)
    white = centred @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(centred.T))).T
    turn = torch.linalg.qr(normal(3, 3, seed=4)).Q
    blend = turn @ torch.diag(torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)) @ turn.T
    assert_equal(recolour(white, white @ blend + 2), white @ blend + 2)
    torch.testing.assert_close(recolour(white, white @ turn), white, rtol=0, atol=1e-9)


def test_dependent_columns_cannot_be_recoloured():
    source, target = samples((9, 8))
    with pytest.raises(ValueError, match="the source's 4 columns depend on each other"):
        recolour(torch.cat([source, source[:, :1]], 1), torch.cat([target, target[:, :1]], 1))


# --- MMD -------------------------------------------------------------------------------------------------------

def by_loops(source, target, bandwidth, unbiased):
    def kernel(x, y):
        return math.exp(-sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / (2 * bandwidth**2))

    def mean(first, second, skip):
        pairs = [kernel(x, y) for i, x in enumerate(first) for j, y in enumerate(second) if not (skip and i == j)]
        return sum(pairs) / len(pairs)

    source, target = source.tolist(), target.tolist()
    return mean(source, source, unbiased) + mean(target, target, unbiased) - 2 * mean(source, target, False)


@pytest.mark.parametrize("unbiased", [True, False])
def test_mmd_is_the_mean_over_pairs(unbiased):
    source, target = samples()
    assert_equal(squared_mmd(source, target, 1.3, unbiased), by_loops(source, target, 1.3, unbiased))


def test_median_heuristic_is_the_median_distance_of_different_rows():
    source, target = samples((9, 6))                                   # 105 pairs: their median is one of them
    rows = torch.cat([source, target])
    bandwidth = median_bandwidth(squared_distances(rows))
    assert_equal(bandwidth, np.median(pdist(rows)))
    assert_equal(squared_mmd(source, target), squared_mmd(source, target, bandwidth))


def test_mmd_in_a_mixed_batch_is_the_biased_one_by_the_kernel_of_sklearn():
    source, target = samples()
    rows, is_target = mixed(source, target)
    kernel = sklearn_rbf(rows, gamma=1 / (2 * np.median(pdist(rows)) ** 2))
    sign = np.where(is_target, -1 / len(target), 1 / len(source))
    assert_equal(MMD(2.0)(rows, is_target), 2 * sign @ kernel @ sign)


def test_mmd_of_two_normal_distributions_is_met():
    """N(0, 1) against N(m, 1), one dimension: 2 σ/√(σ² + 2) (1 − exp(−m² / (2 (σ² + 2))))."""
    expected = 2 * 0.8 / math.sqrt(0.8**2 + 2) * (1 - math.exp(-1 / (2 * (0.8**2 + 2))))
    found = [squared_mmd(normal(200, 1, seed=seed), normal(200, 1, seed=seed + 100) + 1, 0.8).item()
             for seed in range(40)]
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / math.sqrt(len(found)))
    assert np.std(found) / math.sqrt(len(found)) < 0.05 * expected


# --- LogME -----------------------------------------------------------------------------------------------------

def evidence_of_paper(features, values, alpha, beta):
    """Return equation 2 of You et al. at given α and β, by dense algebra."""
    rows, width = features.shape
    precision = alpha * np.eye(width) + beta * features.T @ features
    mean = beta * np.linalg.solve(precision, features.T @ values)
    return (width / 2 * np.log(alpha) + rows / 2 * np.log(beta) - rows / 2 * np.log(2 * np.pi)
            - beta / 2 * ((features @ mean - values) ** 2).sum() - alpha / 2 * (mean**2).sum()
            - np.linalg.slogdet(precision)[1] / 2) / rows


@pytest.mark.parametrize(("rows", "width"), [(40, 3), (30, 12), (12, 20)])
def test_log_evidence_is_the_largest_over_alpha_and_beta(rows, width):
    features = normal(rows, width).numpy()
    values = (features[:, 0] + 0.7 * normal(rows, seed=1).numpy() > 0).astype(float)
    best = minimize(lambda logs: -evidence_of_paper(features, values, *np.exp(logs)), [0.0, 0.0],
                    method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 4000})
    found = log_evidence(torch.tensor(features), torch.tensor(values))
    assert found == pytest.approx(-best.fun, abs=1e-9)
    assert found > evidence_of_paper(features, values, 1.0, 1.0) + 1e-3


@pytest.mark.parametrize(("rows", "width"), [(40, 3), (30, 12), (12, 20), (13, 12), (12, 12)])
def test_log_evidence_with_an_intercept_is_that_of_the_contrasts(rows, width):
    """N − 1 orthonormal contrasts hold all but the mean: SciPy's density of them, at the best α and β."""
    features = normal(rows, width).numpy() + 3
    values = (features[:, 0] + 0.7 * normal(rows, seed=1).numpy() > 3.3).astype(float)
    contrasts = helmert(rows)                                                           # [N − 1, N]
    inner = contrasts @ features @ features.T @ contrasts.T

    def density(alpha, beta):
        spread = np.eye(rows - 1) / beta + inner / alpha
        return multivariate_normal.logpdf(contrasts @ values, cov=spread) / (rows - 1)

    starts = [[0.0, 0.0], [4.0, 1.0], [0.0, 4.0]]
    best = max(-minimize(lambda logs: -density(*np.exp(logs)), start, bounds=[(-30, 30)] * 2, method="Nelder-Mead",
                         options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 4000}).fun for start in starts)
    found = log_evidence(torch.tensor(features), torch.tensor(values), intercept=True)
    assert found == pytest.approx(best, abs=1e-9)
