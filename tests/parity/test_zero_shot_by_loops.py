"""Zero-shot classifiers against iterative minimisers and plain loops, in float64."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize
from sklearn.linear_model import Ridge

from mtl_tutorial.zero_shot.class_statistics import centred, class_splits
from mtl_tutorial.zero_shot.dap import DAP, attribute_log_posterior, platt
from mtl_tutorial.zero_shot.embedding_regression import EmbeddingRegression
from mtl_tutorial.zero_shot.eszsl import ESZSL, eszsl_solution

CLASSES, FEATURES, ATTRIBUTES = 6, 5, 4
TABLE = torch.tensor([[0, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]]).double()


def drawn(seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(CLASSES).repeat_interleave(torch.tensor([20, 25, 17, 30, 22, 26]))
    x = TABLE[y] @ torch.randn(ATTRIBUTES, FEATURES, generator=generator, dtype=torch.float64)
    return x + 0.7 * torch.randn(len(y), FEATURES, generator=generator, dtype=torch.float64), y


def one_against_all(y, classes):
    """Targets [N, C]: 1 where a row is of a class, −1 elsewhere."""
    return 2.0 * (y.unsqueeze(1) == torch.tensor(classes)).double() - 1


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.1, 10.0), (30.0, 0.3)])
def test_eszsl_is_the_minimum_that_an_iterative_method_finds(gamma, lam):
    x, y = drawn()
    classes = [0, 1, 3, 4]
    rows = torch.isin(y, torch.tensor(classes))
    x, targets, signatures = x[rows], one_against_all(y[rows], classes), TABLE[classes]

    def objective(flat):
        v = torch.tensor(flat).view(FEATURES, ATTRIBUTES).requires_grad_()
        value = ((x @ v @ signatures.T - targets).square().sum() + gamma * (v @ signatures.T).square().sum()
                 + lam * (x @ v).square().sum() + gamma * lam * v.square().sum())
        value.backward()
        return value.item(), v.grad.flatten().numpy()

    found = optimize.minimize(objective, np.zeros(FEATURES * ATTRIBUTES), jac=True, method="L-BFGS-B",
                              options={"ftol": 1e-16, "gtol": 1e-10, "maxiter": 2_000})
    expected = torch.tensor(found.x).view(FEATURES, ATTRIBUTES)
    torch.testing.assert_close(eszsl_solution(x, targets, signatures, gamma, lam), expected, rtol=1e-6, atol=1e-7)


def test_eszsl_of_all_splits_is_the_closed_form_on_each():
    x, y = drawn(1)
    seen = class_splits(CLASSES, 2)
    learner = ESZSL(0.7, 0.2).fit(x, y, TABLE, seen)
    for split, found in zip(seen, learner.compatibility_, strict=True):
        classes, rows = split.nonzero().squeeze(-1).tolist(), split[y]
        expected = eszsl_solution(x[rows], one_against_all(y[rows], classes), TABLE[classes], 0.7, 0.2)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(learner.decision_function(x)[3], x @ learner.compatibility_[3] @ TABLE.T)


def test_dap_posterior_is_a_product_over_attributes_row_by_row():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 7, ATTRIBUTES, generator=generator, dtype=torch.float64)
    prior = torch.rand(2, ATTRIBUTES, generator=generator, dtype=torch.float64) * 0.8 + 0.1
    found = attribute_log_posterior(logits, TABLE, prior)
    for split in range(2):
        for row in range(7):
            for c in range(CLASSES):
                product = 1.0
                for m in range(ATTRIBUTES):
                    chance, before = 1 / (1 + math.exp(-logits[split, row, m])), prior[split, m].item()
                    product *= chance / before if TABLE[c, m] else (1 - chance) / (1 - before)
                assert found[split, row, c].item() == pytest.approx(math.log(product), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("scale", [0.02, 1.0, 20.0])
def test_platt_is_the_minimum_that_an_iterative_method_finds(scale):
    x, y = drawn(3)
    scores, labels = scale * x[:, :ATTRIBUTES], TABLE[y]
    weights = torch.stack([torch.ones(len(y)), (y != 2).double(), (y > 0).double()]).double()
    slope, offset = platt(scores.expand(3, -1, -1), labels, weights)
    for split in range(3):
        rows = weights[split] > 0
        for m in range(ATTRIBUTES):
            score, label = scores[rows, m].numpy(), labels[rows, m].numpy()
            goal = np.where(label > 0, (label.sum() + 1) / (label.sum() + 2), 1 / ((1 - label).sum() + 2))

            def objective(place, score=score, goal=goal):
                logit = place[0] * score + place[1]
                chance = 1 / (1 + np.exp(-logit))
                loss = np.sum(np.logaddexp(0, logit) - goal * logit)
                return loss, np.array([((chance - goal) * score).sum(), (chance - goal).sum()])

            found = optimize.minimize(objective, [1 / scale, 0.0], jac=True, method="BFGS",
                                      options={"gtol": 1e-9}).x
            expected = pytest.approx(found.tolist(), rel=1e-4, abs=1e-5)
            assert [slope[split, m].item(), offset[split, m].item()] == expected


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_dap_of_all_splits_is_a_loop_over_splits_and_attributes(share):
    x, y = drawn(4)
    seen = class_splits(CLASSES, 2)
    learner = DAP(0.5, share).fit(x, y, TABLE, seen)
    found = learner.decision_function(x)
    last = torch.zeros(len(y), dtype=torch.bool)
    for c in range(CLASSES):
        rows = (y == c).nonzero().squeeze(-1)
        last[rows[len(rows) - int(share * len(rows)):]] = True
    for split in (0, 5, 11):
        fitted, kept = seen[split][y] & ~last, seen[split][y] & (last if share else ~last)
        expected = torch.zeros(len(y), CLASSES).double()
        for m in range(ATTRIBUTES):
            prior = TABLE[seen[split], m].mean()
            if not 0 < prior < 1:
                continue
            ridge = Ridge(alpha=0.5, fit_intercept=False)
            ridge.fit(x[fitted].numpy(), 2 * TABLE[y[fitted], m].numpy() - 1)
            score = torch.tensor(ridge.predict(x.numpy())).unsqueeze(-1)
            slope, offset = platt(score[kept], TABLE[y[kept], m:m + 1], torch.ones(int(kept.sum())).double())
            chance = (score * slope + offset).sigmoid()
            expected += torch.where(TABLE[:, m] > 0, chance / prior, (1 - chance) / (1 - prior)).log()
        torch.testing.assert_close(found[split], expected, rtol=1e-7, atol=1e-7)


def test_regression_in_both_directions_is_that_of_scikit_learn():
    x, y = drawn(5)
    seen = torch.tensor([True, True, False, True, True, False])
    rows = seen[y]
    into_signatures = Ridge(alpha=0.4, fit_intercept=False).fit(x[rows].numpy(), TABLE[y[rows]].numpy())
    expected = torch.tensor(into_signatures.predict(x.numpy())) @ TABLE.T
    found = EmbeddingRegression(0.4).fit(x, y, TABLE, seen).decision_function(x)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)

    middle = x[rows].mean(0)
    into_features = Ridge(alpha=0.4, fit_intercept=False).fit(TABLE[y[rows]].numpy(), (x[rows] - middle).numpy())
    places = torch.tensor(into_features.predict(TABLE.numpy())) + middle
    expected = -(x.unsqueeze(1) - places).square().sum(-1)
    found = EmbeddingRegression(0.4, "features").fit(x, y, TABLE, seen).decision_function(x)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_regression_towards_the_identity_is_ridge_on_what_the_identity_leaves():
    x, y = drawn(6)
    x = x[:, :ATTRIBUTES]
    seen = class_splits(CLASSES, 2)
    signatures = centred(TABLE, seen)
    found = EmbeddingRegression(0.4, towards="identity").fit(x, y, signatures, seen).decision_function(x)
    for split in (0, 5, 11):
        rows = seen[split][y]
        rest = Ridge(alpha=0.4, fit_intercept=False)
        rest.fit(x[rows].numpy(), (signatures[split][y[rows]] - x[rows]).numpy())
        expected = (x + torch.tensor(rest.predict(x.numpy()))) @ signatures[split].T
        torch.testing.assert_close(found[split], expected, rtol=1e-9, atol=1e-9)
