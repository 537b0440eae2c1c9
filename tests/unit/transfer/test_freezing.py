import pytest
import torch

from mtl_tutorial.balancing.mgda import MGDA
from mtl_tutorial.data.table import Table
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.parameters import dense_parameters, trained_parameters
from mtl_tutorial.training import fit
from mtl_tutorial.transfer.freezing import freeze, unfreeze

KNOBS = {"epochs": 2, "batch_size": 50, "lr": 0.01, "device": "cpu"}


def build(table, tasks, repeats=None):
    torch.manual_seed(0)
    models = [SharedBottom(table.schema, tasks, widths=(16, 8)) for _ in range(repeats or 1)]
    return Stacked(models) if repeats else models[0]


def rows(table, repeats):
    return Table.stack([table] * repeats) if repeats else table


def moved(model, table, tasks, **knobs):
    """Return the names of the parameters that training changes."""
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    fit(model, table, tasks, **KNOBS | knobs)
    return {name.replace("/", ".").removeprefix("weights.") for name, value in model.named_parameters()
            if not torch.equal(value, before[name])}


@pytest.mark.parametrize("repeats", [None, 3])
def test_frozen_parts_stay_and_the_others_move(repeats, mixed_table, mixed_tasks):
    table = mixed_table()
    model = build(table, mixed_tasks, repeats)
    freeze(model, "encoder", "body.layers.0")
    found = moved(model, rows(table, repeats), mixed_tasks)
    assert found == {"body.layers.1.weight", "body.layers.1.bias", "towers.hidden.layers.0.weight",
                     "towers.hidden.layers.0.bias", "towers.weight", "towers.bias"}


@pytest.mark.parametrize("repeats", [None, 3])
def test_unfrozen_parts_are_trained_again(repeats, mixed_table, mixed_tasks):
    table = mixed_table()
    model = build(table, mixed_tasks, repeats)
    freeze(model)
    unfreeze(model, "towers.bias")
    assert moved(model, rows(table, repeats), mixed_tasks) == {"towers.bias"}


@pytest.mark.parametrize("repeats", [None, 3])
def test_only_trained_parameters_are_counted_and_a_stack_counts_once(repeats, mixed_table, mixed_tasks):
    model = build(mixed_table(), mixed_tasks, repeats)
    encoder, body, towers = 9 * 8, 19 * 16 + 16 + 16 * 8 + 8, 3 * (8 * 16 + 16) + 5 * 16 + 5
    assert trained_parameters(model) == encoder + body + towers
    freeze(model, "body")
    assert trained_parameters(model) == encoder + towers
    assert dense_parameters(model) == towers
    unfreeze(model)
    freeze(model, "encoder")
    assert trained_parameters(model) == dense_parameters(model) == body + towers


@pytest.mark.parametrize("repeats", [None, 3])
def test_unknown_prefix_is_told_what_there_is(repeats, mixed_table, mixed_tasks):
    model = build(mixed_table(), mixed_tasks, repeats)
    with pytest.raises(ValueError, match=r"no parameter is called 'bottom' or 'bottom.…'; there is \w+, \w+, \w+$"):
        freeze(model, "encoder", "bottom")
    with pytest.raises(ValueError, match=r"'body.layers.2' .*; there is body.layers.0, body.layers.1"):
        unfreeze(model, "body.layers.2")
    assert trained_parameters(model) == trained_parameters(build(mixed_table(), mixed_tasks)), "nothing was frozen"


def test_prefix_is_whole_parts_of_a_name(mixed_table, mixed_tasks):
    model = build(mixed_table(), mixed_tasks)
    with pytest.raises(ValueError, match="no parameter is called 'bod'"):
        freeze(model, "bod")


def test_wholly_frozen_model_is_refused(mixed_table, mixed_tasks):
    table = mixed_table()
    model = build(table, mixed_tasks)
    freeze(model)
    with pytest.raises(ValueError, match="nothing to train: every parameter is frozen"):
        fit(model, table, mixed_tasks, **KNOBS)


@pytest.mark.parametrize("repeats", [None, 3])
@pytest.mark.parametrize("at", ["parameters", "representation"])
def test_aggregator_says_that_it_has_nothing_to_combine(at, repeats, mixed_table, mixed_tasks):
    table = mixed_table()
    model = build(table, mixed_tasks, repeats)
    freeze(model, "encoder", "body")
    with pytest.raises(ValueError, match=r"all that the tasks share is frozen: .* leave `balance` out"):
        fit(model, rows(table, repeats), mixed_tasks, MGDA(at=at), **KNOBS)


@pytest.mark.parametrize("repeats", [None, 3])
@pytest.mark.parametrize("at", ["parameters", "representation"])
def test_aggregator_trains_what_is_left(at, repeats, mixed_table, mixed_tasks):
    table = mixed_table()
    model = build(table, mixed_tasks, repeats)
    freeze(model, "encoder", "body.layers.0", "towers.hidden")
    found = moved(model, rows(table, repeats), mixed_tasks, balance=MGDA(at=at))
    assert found == {"body.layers.1.weight", "body.layers.1.bias", "towers.weight", "towers.bias"}
