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
