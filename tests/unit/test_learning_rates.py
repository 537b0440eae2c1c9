import pytest
import torch

from mtl_tutorial.balancing.uncertainty_weighting import UncertaintyWeighting
from mtl_tutorial.checkpoint import CheckpointError
from mtl_tutorial.data.table import Table
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.training import fit
from mtl_tutorial.transfer.freezing import freeze

KNOBS = {"epochs": 2, "batch_size": 50, "device": "cpu"}


def build(table, tasks, seed=0):
    torch.manual_seed(seed)
    return SharedBottom(table.schema, tasks, widths=(16, 8))


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_each_part_takes_the_step_of_its_longest_prefix(mixed_table, mixed_tasks):
    """Adam's first step is as long as its learning rate, whatever the gradient (where there is one)."""
    table = mixed_table(50)
    model = build(table, mixed_tasks)
    before = weights_of(model)
    fit(model, table, mixed_tasks, epochs=1, batch_size=50, device="cpu",
        lr={"": 1e-2, "body": 1e-3, "body.layers.1": 1e-4, "body.layers.1.bias": 1e-5})
    steps = {name: (value - before[name]).abs().max().item() for name, value in model.state_dict().items()}
    assert steps["encoder.embedding.table.weight"] == pytest.approx(1e-2, rel=0.01)
    assert steps["towers.bias"] == pytest.approx(1e-2, rel=0.01)
    assert steps["body.layers.0.weight"] == pytest.approx(1e-3, rel=0.01)
    assert steps["body.layers.1.weight"] == pytest.approx(1e-4, rel=0.01)
    assert steps["body.layers.1.bias"] == pytest.approx(1e-5, rel=0.02)


def test_equal_rates_by_name_train_to_the_bits_of_one_rate(mixed_table, mixed_tasks):
    table, found = mixed_table(), []
    for lr in (0.01, {"": 0.01}, {"encoder": 0.01, "body": 0.01, "towers": 0.01}):
        model = build(table, mixed_tasks)
        fit(model, table, mixed_tasks, lr=lr, **KNOBS)
        found.append(weights_of(model))
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_repeats_of_a_stack_learn_as_each_alone(mixed_table, mixed_tasks):
    tables = [mixed_table(100, seed) for seed in (0, 1)]
    lr = {"": 0.01, "encoder": 0.001, "body.layers.0": 0.0}
    models = [build(table, mixed_tasks, seed).double() for seed, table in enumerate(tables)]
    stack = Stacked(models)
    fit(stack, Table.stack(tables), mixed_tasks, lr=lr, epochs=3, batch_size=100, device="cpu")
    for repeat, (model, table) in enumerate(zip(models, tables, strict=True)):
        fit(model, table, mixed_tasks, lr=lr, epochs=3, batch_size=100, device="cpu")
        for name, value in model.named_parameters():
            torch.testing.assert_close(stack.named_weights[name][repeat], value, rtol=1e-6, atol=1e-9)


def test_parameter_without_a_rate_is_named(mixed_table, mixed_tasks):
    table = mixed_table()
    model = build(table, mixed_tasks)
    with pytest.raises(ValueError, match=r"parameter 'body.layers.0.weight' has no learning rate; lr has 'enc"):
        fit(model, table, mixed_tasks, lr={"encoder": 0.1, "towers": 0.1}, **KNOBS)
    freeze(model, "body")
    fit(model, table, mixed_tasks, lr={"encoder": 0.1, "towers": 0.1}, **KNOBS)


def test_rate_for_no_parameter_is_refused(mixed_table, mixed_tasks):
    table = mixed_table()
    with pytest.raises(ValueError, match=r"no parameter is called 'head' or 'head.…'; there is encoder, body, "):
        fit(build(table, mixed_tasks), table, mixed_tasks, lr={"": 0.1, "head": 0.1}, **KNOBS)


def test_balancer_has_a_rate_of_its_own(mixed_table, mixed_tasks):
    table = mixed_table()
    balance = UncertaintyWeighting(mixed_tasks)
    fit(build(table, mixed_tasks), table, mixed_tasks, balance, lr={"": 0.01, "balance": 0.0}, **KNOBS)
    assert all(not parameter.any() for parameter in balance.parameters())
    with pytest.raises(ValueError, match=r"parameter 'balance\.\w+' has no learning rate"):
        fit(build(table, mixed_tasks), table, mixed_tasks, UncertaintyWeighting(mixed_tasks),
            lr={"encoder": 0.01, "body": 0.01, "towers": 0.01}, **KNOBS)


class Interruption(Exception):
    """A stand-in for a machine that goes down."""


def test_resumed_run_ends_with_the_same_bits_and_other_rates_are_refused(mixed_table, mixed_tasks, tmp_path):
    table, lr = mixed_table(), {"": 0.01, "body": 0.001}
    looks = []

    def interrupt(model, rows):
        looks.append(model)
        if len(looks) == 2:
            raise Interruption
        return 0.0

    parts = build(table, mixed_tasks)
    knobs = {"validation": table, "checkpoint": tmp_path / "run", **KNOBS}
    with pytest.raises(Interruption):
        fit(parts, table, mixed_tasks, lr=lr, monitor=interrupt, checkpoint_every=1, **knobs)
    resumed = build(table, mixed_tasks, seed=5)
    with pytest.raises(CheckpointError, match="lr was"):
        fit(resumed, table, mixed_tasks, lr={"": 0.01, "body": 0.002}, checkpoint_every=1, **knobs)
    fit(resumed, table, mixed_tasks, lr=dict(reversed(lr.items())), checkpoint_every=1,
        monitor=lambda model, rows: 1.0, **knobs)
    whole = build(table, mixed_tasks)
    fit(whole, table, mixed_tasks, lr=lr, **KNOBS)
    assert same(weights_of(resumed), weights_of(whole))
