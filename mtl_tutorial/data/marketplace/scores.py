"""How good predictions of the shop's tasks are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mtl_tutorial.data.table import Table
from mtl_tutorial.evaluation import auc, log_loss, rmse


def shop_scores(table: Table, predictions: Mapping[str, Tensor]) -> dict[str, float]:
    """Return AUC of click, cart and purchase, log loss of the next behaviour, RMSE of log spend among purchases.

    Args:
        table: impressions of the shop.
        predictions: task -> probabilities or means of all rows; tasks that are not there are not scored.
    """
    found = {f"{name} AUC": auc(table.targets[name], predictions[name])
             for name in ("click", "cart", "purchase") if name in predictions}
    if "next_behaviour" in predictions:
        found["next behaviour log loss"] = log_loss(table.targets["next_behaviour"], predictions["next_behaviour"])
    if "spend" in predictions:
        bought = table.mask("spend")
        found["log spend RMSE"] = rmse(table.targets["spend"][bought], predictions["spend"][bought])
    return found


def limits(table: Table) -> dict[str, dict[str, float]]:
    """Return the scores of the truth itself: ``oracle`` and ``bayes``."""
    return {kind: shop_scores(table, {name: table.truth[f"{kind}.{name}"] for name in table.targets
                                      if f"{kind}.{name}" in table.truth}) for kind in ("oracle", "bayes")}


def regret(truth: Tensor, predicted: Tensor) -> Tensor:
    """Return by how many nats per row predictions are worse than the true probabilities, in expectation, [...].

    The Kullback–Leibler divergence of Bernoulli distributions: what the log loss exceeds its minimum by. No label
    is drawn for it, so that it is far less noisy than a log loss or an AUC of the same rows.

    Args:
        truth: the generating probabilities, [..., N].
        predicted: probabilities, [..., N].
    """
    truth, predicted = (p.double().clamp(1e-7, 1 - 1e-7) for p in (truth, predicted))
    return (truth * (truth / predicted).log() + (1 - truth) * ((1 - truth) / (1 - predicted)).log()).mean(-1)
