import numpy as np
import pytest
import torch

from mtl_tutorial.data.table import Table
from mtl_tutorial.evaluation import auc
from mtl_tutorial.inference import predict
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.repeats import auc_by_repeat, draws, each, stacked, tuned
from mtl_tutorial.tasks import Task

TASKS = [Task("click"), Task("buy")]


@pytest.fixture
def table():
    generator = torch.Generator().manual_seed(0)
    return Table.from_features(torch.randn(40, 3, generator=generator), targets={
        task.name: torch.rand(40, generator=generator).round() for task in TASKS})


@pytest.fixture
def model(table):
    return stacked(lambda: SharedBottom(table.schema, TASKS, widths=(4,)), repeats=3, seed=7)


def test_stacked_models_start_apart_from_one_another_and_the_same_for_the_same_seed(table, model):
    again = stacked(lambda: SharedBottom(table.schema, TASKS, widths=(4,)), repeats=3, seed=7)
    weight = model.weights["towers/weight"]
    assert torch.equal(weight, again.weights["towers/weight"])
    assert not torch.equal(weight[0], weight[1])


def test_stacking_leaves_the_global_generator_alone(table):
    before = torch.get_rng_state()
    stacked(lambda: SharedBottom(table.schema, TASKS), repeats=2, seed=0)
    assert torch.equal(before, torch.get_rng_state())


def test_draws_are_rows_of_the_table_without_replacement_and_differ_by_seed(table):
    drawn = draws(table, rows=30, seeds=[0, 1])
    assert drawn.repeats == 2
    assert len(drawn) == 30
    assert not torch.equal(drawn.numeric[0], drawn.numeric[1])
    for repeat in drawn.numeric:
        assert len(repeat.unique(dim=0)) == 30
        assert all((row == table.numeric).all(1).any() for row in repeat)


def test_each_parts_the_predictions_of_a_stack_by_repeat(table, model):
    together = predict(model, table.repeat(3), TASKS)
    parts = each(together)
    assert len(parts) == 3
    for r, part in enumerate(parts):
        assert torch.equal(part["buy"], together["buy"][r])


def test_auc_by_repeat_scores_shared_rows_and_rows_of_each_repeat(table, model):
    shared = auc_by_repeat(model, table, TASKS)
    found = predict(model, table.repeat(3), TASKS)
    assert shared.shape == (2, 3)
    assert shared[1, 2] == auc(table.targets["buy"], found["buy"][2])
    np.testing.assert_array_equal(auc_by_repeat(model, Table.stack([table] * 3), TASKS), shared)


def test_tuned_keeps_for_each_setting_the_scores_at_the_rate_of_the_lowest_mean_validation_loss():
    losses = {0.1: [[1.0, 5.0], [2.0, 1.0]], 0.2: [[2.0, 1.0], [1.0, 5.0]]}      # means 3, 1.5 and 1.5, 3
    scores, rates = tuned(lambda rate: (np.array(losses[rate]), np.array([[rate, -rate], [2 * rate, -2 * rate]])),
                          [0.1, 0.2])
    assert scores.tolist() == [[0.2, -0.2], [0.2, -0.2]]
    assert rates.tolist() == [0.2, 0.1]


def test_tuned_takes_scores_of_several_numbers_and_a_single_setting():
    scores, rate = tuned(lambda rate: (np.array([1 - rate, 3.0]), np.full((2, 4), rate)), [0.1, 0.2])
    assert scores.tolist() == [[0.2] * 4] * 2
    assert rate == 0.2


def test_tuned_refuses_a_trial_that_diverged_by_its_rate():
    with pytest.raises(ValueError, match=r"not finite at rates \[0.2\]"):
        tuned(lambda rate: (np.array([1.0, np.nan if rate == 0.2 else 1.0]), np.zeros(2)), [0.1, 0.2])
