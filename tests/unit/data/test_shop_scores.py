import pytest
import torch

from mtl_tutorial.data.marketplace import TASKS, simulate
from mtl_tutorial.data.marketplace.scores import limits, regret, shop_scores
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


def test_regret_is_what_the_expected_log_loss_exceeds_its_minimum_by():
    truth, predicted = torch.rand(2, 50, dtype=torch.float64), torch.rand(2, 50, dtype=torch.float64)
    def expected_loss(p):
        return -(truth * p.log() + (1 - truth) * (1 - p).log()).mean(-1)
    torch.testing.assert_close(regret(truth, predicted), expected_loss(predicted) - expected_loss(truth))
    assert regret(truth, truth).abs().max() < 1e-15


def test_regret_stays_finite_where_a_prediction_is_certain_and_wrong():
    assert regret(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])).isfinite()
