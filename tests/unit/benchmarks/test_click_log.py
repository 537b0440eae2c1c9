import numpy as np
import pytest
import torch

from benchmarks.click_log import as_columns, click_log, tasks_of
from mtl_tutorial.evaluation import auc


def test_a_click_log_has_the_shape_that_is_asked_for_and_is_the_same_at_every_call():
    table = click_log(500, fields=4, ids=30, tasks=3).validate()
    assert table.schema.cardinalities == (30,) * 4
    assert [task.name for task in tasks_of(table)] == ["task_0", "task_1", "task_2"]
    assert len(table) == 500
    assert table.fingerprint() == click_log(500, fields=4, ids=30, tasks=3).fingerprint()
    assert table.fingerprint() != click_log(500, fields=4, ids=30, tasks=3, seed=1).fingerprint()


def test_what_an_id_does_does_not_depend_on_the_number_of_rows():
    few, many = (click_log(rows, fields=1, ids=5) for rows in (200, 1000))
    for value in range(5):
        seen = [table.truth["task_1"][table.categorical[:, 0] == value] for table in (few, many)]
        torch.testing.assert_close(seen[0].unique(), seen[1].unique(), rtol=0, atol=0)


def test_the_truth_ranks_the_labels_as_well_as_is_said():
    table = click_log(200_000)
    for name, labels in table.targets.items():
        assert auc(labels, table.truth[name]) == pytest.approx(0.815, abs=0.01)


def test_a_tenth_of_the_ids_makes_almost_half_of_the_rows():
    table = click_log(50_000, fields=2, ids=1000)
    assert (table.categorical < 100).float().mean().item() == pytest.approx(0.46, abs=0.01)


def test_other_libraries_get_one_array_per_field_and_the_labels_side_by_side():
    table = click_log(50, fields=3, ids=10)
    features, labels = as_columns(table)
    assert list(features) == ["field_0", "field_1", "field_2"]
    assert np.array_equal(np.stack(list(features.values()), 1), table.categorical.numpy())
    assert np.array_equal(labels[:, 1], table.targets["task_1"].numpy())
