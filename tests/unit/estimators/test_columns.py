from dataclasses import replace

import pytest
import torch

from mtl_tutorial.data.table import Table
from mtl_tutorial.estimators.columns import Columns, check_targets, tasks_of
from mtl_tutorial.tasks import Task


@pytest.fixture
def table(mixed_table):
    return mixed_table(20)


def test_columns_are_read_off_a_table(table):
    assert Columns.of(table) == Columns(("colour", "size"), (5, 4), 3)
    assert Columns.of(table).schema == table.schema
    assert Columns.of(replace(table, field_names=())).names == ("0", "1")


def test_table_with_the_same_columns_comes_back_with_the_known_vocabularies(table):
    columns = Columns(("colour", "size"), (9, 4), 3)
    found = columns.check(table, "the target")
    assert found.cardinalities == (9, 4)
    assert torch.equal(found.categorical, table.categorical)


def test_larger_vocabulary_is_welcome_while_its_new_ids_do_not_occur(table):
    columns = Columns.of(table)
    assert columns.check(replace(table, cardinalities=(50, 4)), "the target").cardinalities == (5, 4)


def with_id(table, row, field, value):
    ids = table.categorical.clone()
    ids[row, field] = value
    return replace(table, categorical=ids, cardinalities=(50, 50))


@pytest.mark.parametrize(("change", "message"), [
    (lambda t: t.without("size"), "the target lacks size: the fields must be colour, size"),
    (lambda t: replace(t, field_names=("colour", "weight")),
     "the target lacks size and has weight too many: the fields must be colour, size"),
    (lambda t: replace(t, field_names=("size", "colour")), "the target has its fields in another order"),
    (lambda t: replace(t, numeric=t.numeric[:, :2]), "the target has 2 numeric features, it must have 3"),
    (lambda t: with_id(t, 6, 1, 4),
     "the target: categorical field 'size', row 6: id 4 is outside the vocabulary 0 … 3"),
    (lambda t: replace(t, numeric=t.numeric.index_fill(0, torch.tensor([3]), float("nan"))),
     "the target: numeric feature 0, row 3 is nan, not a finite number"),
])
def test_table_with_other_columns_is_refused(table, change, message):
    with pytest.raises(ValueError, match=message):
        Columns.of(table).check(change(table), "the target")


def labelled(values, mask=None):
    values = torch.tensor(values)
    return Table.from_features(torch.zeros(len(values), 1), targets={"y": values},
                               masks={} if mask is None else {"y": torch.tensor(mask)})


@pytest.mark.parametrize(("values", "mask", "task"), [
    ([0.0, 1.0, 1.0], None, Task("y")), ([0.0, 0.0], None, Task("y")),
    ([0.0, 7.0, 1.0], [True, False, True], Task("y")), ([0.0, 0.5, 1.0], None, Task("y", "regression")),
    ([0.0, float("nan"), 2.5], [True, False, True], Task("y", "regression")),
    ([0, 2, 1], None, Task("y", "multiclass", 3)), ([0, 1], None, Task("y", "multiclass", 2)),
])
def test_kind_of_a_task_is_told_from_its_observed_labels(values, mask, task):
    assert tasks_of(labelled(values, mask), ["y"]) == [task]


def test_tasks_come_in_the_order_of_their_names(table, mixed_tasks):
    click, segment, spend = mixed_tasks
    assert tasks_of(table, ["spend", "click", "segment"]) == [spend, click, segment]


@pytest.mark.parametrize(("values", "mask", "names", "message"), [
    ([0.0, 1.0], None, [], "no task: name at least one target"),
    ([0.0, 1.0], None, "y", r"tasks is the string 'y', but must be a sequence of names: write \('y',\)"),
    ([0.0, 1.0], None, ["y", "y"], "tasks y, y: one is named twice"),
    ([0.0, 1.0], None, ["z"], "no target 'z'; the targets are y"),
    ([0.0, 1.0], [False, False], ["y"], "target 'y' is observed in no row"),
    ([0.0, 2.0, float("nan")], [False, True, True], ["y"], "target 'y', row 2 is nan: mask it"),
    ([0, -1], None, ["y"], "target 'y' has class -1: classes start at 0"),
])
def test_target_that_cannot_be_learned_is_refused(values, mask, names, message):
    with pytest.raises(ValueError, match=message):
        tasks_of(labelled(values, mask), names)


@pytest.mark.parametrize(("values", "task"), [
    ([0.0, 1.0], Task("y")), ([1.0, 1.0], Task("y", "regression")), ([0, 1], Task("y", "multiclass", 5))])
def test_targets_need_not_show_all_that_was_learned(values, task):
    check_targets(labelled(values), [task], "the table")


@pytest.mark.parametrize(("values", "task", "message"), [
    ([0.0, 0.5], Task("y"), "the table: target 'y' is regression, but it was learned as binary"),
    ([0, 1], Task("y"), "the table: target 'y' is multiclass, but it was learned as binary"),
    ([0, 5], Task("y", "multiclass", 5), "the table: target 'y' has class 5, but those learned are 0 … 4"),
    ([0, 5], Task("z"), "the table: no target 'z'; the targets are y"),
])
def test_targets_other_than_those_learned_are_refused(values, task, message):
    with pytest.raises(ValueError, match=message):
        check_targets(labelled(values), [task], "the table")
