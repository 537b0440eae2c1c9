"""Convex weights against scipy's SLSQP, stacking against scikit-learn's StackingClassifier, in float64."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mtl_tutorial.fusion.convex import convex_weights
from mtl_tutorial.fusion.out_of_fold import assign_folds, out_of_fold
from mtl_tutorial.fusion.stacking import stacked_weights


def draw(seed, experts, rows=500):
    """Experts of very different worth, two of them nearly the same, and labels."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(experts, rows, generator=generator, dtype=torch.float64)
    parts[-1] = parts[0] + 0.3 * parts[-1]
    worth = torch.linspace(0, 1.5, experts, dtype=torch.float64).unsqueeze(-1)
    clicks = torch.rand(rows, generator=generator) < ((worth * parts).sum(0) - 1).sigmoid()
    return (0.8 * parts - 1).sigmoid(), clicks.double()


def loss_and_slope(weights, predictions, targets, loss):
    fused = weights @ predictions
    if loss == "squared":
        return ((fused - targets) ** 2).mean(), 2 * predictions @ (fused - targets) / len(targets)
    likelihood = np.where(targets == 1, predictions, 1 - predictions)
    fused = weights @ likelihood
    return -np.log(fused).mean(), -(likelihood / fused).mean(1)


@pytest.mark.parametrize("loss", ["log", "squared"])
@pytest.mark.parametrize("experts", [2, 5, 9])
@pytest.mark.parametrize("seed", range(5))
def test_convex_weights_against_slsqp(seed, experts, loss):
    predictions, targets = draw(seed, experts)
    found = convex_weights(predictions, targets, loss).numpy()
    columns = predictions.numpy(), targets.numpy(), loss
    on_simplex = {"bounds": [(0, 1)] * experts,
                  "constraints": {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}}
    theirs = minimize(loss_and_slope, np.full(experts, 1 / experts), columns, "SLSQP", jac=True, **on_simplex,
                      options={"ftol": 1e-15, "maxiter": 1000})
    assert found == pytest.approx(theirs.x, abs=1e-6)
    assert loss_and_slope(found, *columns)[0] <= theirs.fun + 1e-12


FIELDS = [slice(0, 3), slice(2, 5), slice(5, 8)]        # what each expert sees


def only(x, fields):
    return x[:, fields]


def test_stacking_against_scikit_learn():
    """The same folds, the same experts: out-of-fold logits, their weights, and what is predicted in the end."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(600, 8))
    y = (generator.random(600) < 1 / (1 + np.exp(1 - x @ np.linspace(-1, 1, 8)))).astype(float)
    fold = assign_folds(400, 5, seed=0)
    experts = [make_pipeline(FunctionTransformer(only, kw_args={"fields": fields}), LogisticRegression(tol=1e-10))
               for fields in FIELDS]
    top = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000)
    theirs = StackingClassifier([(str(number), expert) for number, expert in enumerate(experts)], top,
                                cv=PredefinedSplit(fold.numpy()), stack_method="decision_function")
    theirs.fit(x[:400], y[:400])

    def of(expert):
        def fit(x, y):
            fitted = expert.fit(x.numpy(), y.numpy())
            return lambda rows: torch.from_numpy(fitted.decision_function(rows.numpy()))
        return fit

    known, clicks, new = torch.from_numpy(x[:400]), torch.from_numpy(y[:400]), torch.from_numpy(x[400:])
    unseen = torch.stack([out_of_fold(of(expert), known, clicks, fold) for expert in experts])
    ours = stacked_weights(unseen, clicks, ridge=1 / 0.5)
    assert ours.weights.numpy() == pytest.approx(theirs.final_estimator_.coef_[0], abs=1e-6)
    at_new = torch.stack([of(expert)(known, clicks)(new) for expert in experts])
    assert ours.fuse(at_new).sigmoid().numpy() == pytest.approx(theirs.predict_proba(x[400:])[:, 1], abs=1e-6)
    seen = torch.stack([of(expert)(known, clicks)(known) for expert in experts])
    leaked = stacked_weights(seen, clicks, ridge=1 / 0.5)
    assert (leaked.weights - ours.weights).abs().max() > 1e-3, "else the test shows little"
