import pytest
import torch

from mtl_tutorial.data.marketplace import TASKS, simulate
from mtl_tutorial.data.marketplace.scores import limits, shop_scores
from mtl_tutorial.evaluation import auc, log_loss, rmse


@pytest.fixture(scope="module")
def shop():
    return simulate(4_000, seed=3)


def test_every_task_of_the_shop_has_a_score(shop):
    found = limits(shop)["bayes"]
    assert set(found) == {"click AUC", "cart AUC", "purchase AUC", "next behaviour log loss", "log spend RMSE"}
    assert len(found) == len(TASKS)


def test_scores_are_the_metrics_of_the_rows_that_have_the_label(shop):
    truth = {name: shop.truth[f"bayes.{name}"] for name in TASKS}
    found, bought = shop_scores(shop, truth), shop.targets["purchase"] == 1
    assert found["purchase AUC"] == auc(shop.targets["purchase"], truth["purchase"])
    assert found["next behaviour log loss"] == log_loss(shop.targets["next_behaviour"], truth["next_behaviour"])
    assert found["log spend RMSE"] == rmse(shop.targets["spend"][bought], truth["spend"][bought])


def test_what_was_not_predicted_is_not_scored(shop):
    assert set(shop_scores(shop, {"click": torch.rand(4_000)})) == {"click AUC"}


def test_the_oracle_is_above_bayes_in_every_step_of_the_funnel(shop):
    found = limits(shop)
    for step in ("click", "cart", "purchase"):
        assert found["oracle"][f"{step} AUC"] > found["bayes"][f"{step} AUC"]
