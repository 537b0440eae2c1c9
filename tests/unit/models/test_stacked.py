import pytest
import torch
from torch import nn

from mtl_tutorial.data.table import Inputs, Schema, Table
from mtl_tutorial.inference import mean_losses, outputs_of
from mtl_tutorial.models.aitm import AITM
from mtl_tutorial.models.esmm import ESMM
from mtl_tutorial.models.m2m import M2M
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.pepnet import PEPNet
from mtl_tutorial.models.per_scenario import PerScenario
from mtl_tutorial.models.ple import PLE
from mtl_tutorial.models.scenario_towers import ScenarioTowers
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.single_task import SingleTask
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.models.star import STAR
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

SEEDS = (3, 4, 5)
KNOBS = {"batch_size": 40, "lr": 0.01, "device": "cpu"}
CLICKS = [Task("click"), Task("purchase")]
BUILDERS = {
    "SingleTask": lambda schema, tasks: SingleTask(schema, tasks),
    "SharedBottom": lambda schema, tasks: SharedBottom(schema, tasks, widths=(16,)),
    "MMoE": lambda schema, tasks: MMoE(schema, tasks, experts=3),
    "PLE": lambda schema, tasks: PLE(schema, tasks, own=1, shared=2),
    "PerScenario": lambda schema, tasks: PerScenario(schema, tasks, widths=(16,)),
    "ScenarioTowers": lambda schema, tasks: ScenarioTowers(schema, tasks, widths=(16,)),
    "STAR": lambda schema, tasks: STAR(schema, tasks, widths=(16, 8)),
    "PEPNet": lambda schema, tasks: PEPNet(schema, tasks, prior=(1,), widths=(16, 8)),
    "M2M": lambda schema, tasks: M2M(schema, tasks, experts=3),
}


class Dropout(nn.Module):
    """A model with dropout."""

    def __init__(self):
        super().__init__()
        self.linear, self.dropout = nn.Linear(3, 1), nn.Dropout(0.5)

    def forward(self, inputs):
        return {"click": self.linear(self.dropout(inputs.numeric)).squeeze(-1)}


def models_of(build, seeds=SEEDS):
    found = []
    for seed in seeds:
        torch.manual_seed(seed)
        found.append(build().double())
    return found


def tables_of(mixed_table, rows=120):
    """One table per repeat, with the same targets observed and a purchase beside the click."""
    tables = []
    for seed in range(len(SEEDS)):
        table = mixed_table(rows, seed=seed, dtype=torch.float64, scenarios=3)
        purchase = table.targets["click"] * (table.numeric[:, 1] > 0)
        tables.append(table.with_targets({**table.targets, "purchase": purchase}, table.masks))
    return tables


@pytest.fixture
def rows_in_order(monkeypatch):
    """Batches in the order of the rows: the same for a stacked table and for each of its repeats."""
    in_order = Table.batches
    monkeypatch.setattr(Table, "batches", lambda table, size, generator=None: in_order(table, size))


@pytest.mark.parametrize("name", BUILDERS)
def test_stack_emits_what_its_models_emit_one_by_one(name, mixed_table, mixed_tasks):
    tables = tables_of(mixed_table, 11)
    models = models_of(lambda: BUILDERS[name](tables[0].schema, mixed_tasks))
    found = Stacked(models)(Table.stack(tables).inputs)
    for repeat, (model, table) in enumerate(zip(models, tables, strict=True)):
        for task, output in model(table.inputs).items():
            torch.testing.assert_close(found[task][repeat], output, rtol=0, atol=1e-12)


def assert_same_training(build, tasks, stacked_table, tables, **knobs):
    stacked = Stacked(models_of(build))
    history = fit(stacked, stacked_table, tasks, **KNOBS, **knobs)
    for repeat, (model, table) in enumerate(zip(models_of(build), tables, strict=True)):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        alone = fit(model, table, tasks, **KNOBS, **knobs)
        torch.testing.assert_close(history.losses[:, repeat], alone.losses, rtol=0, atol=1e-6)
        trained = model.state_dict()
        for name, value in stacked.weights.items():
            dotted = name.replace("/", ".")
            torch.testing.assert_close(value[repeat], trained[dotted], rtol=0, atol=1e-9)
            assert not torch.equal(trained[dotted], before[dotted])
        for name, value in model.named_buffers():                       # running statistics
            torch.testing.assert_close(stacked.constants[name.replace(".", "/")][repeat], value, rtol=0, atol=1e-9)


@pytest.mark.usefixtures("rows_in_order")
@pytest.mark.parametrize("name", BUILDERS)
def test_stacked_training_equals_separate_trainings_on_tables_of_their_own(name, mixed_table, mixed_tasks):
    tables = tables_of(mixed_table)
    assert_same_training(lambda: BUILDERS[name](tables[0].schema, mixed_tasks), mixed_tasks,
                         Table.stack(tables), tables, epochs=4)


@pytest.mark.usefixtures("rows_in_order")
def test_stacked_training_equals_separate_trainings_on_the_same_rows(mixed_table, mixed_tasks):
    table = tables_of(mixed_table)[0]
    assert_same_training(lambda: BUILDERS["MMoE"](table.schema, mixed_tasks), mixed_tasks,
                         table.repeat(len(SEEDS)), [table] * len(SEEDS), epochs=4, weight_decay=0.01)


@pytest.mark.usefixtures("rows_in_order")
@pytest.mark.parametrize("model", [AITM, ESMM])
def test_stacked_funnel_models_train_as_they_would_alone_penalty_included(model, mixed_table):
    tables = tables_of(mixed_table)
    build = {"AITM": lambda: AITM(tables[0].schema, CLICKS, widths=(8,), calibration=5.0),
             "ESMM": lambda: ESMM(tables[0].schema, widths=(8,), tower=())}[model.__name__]
    assert_same_training(build, CLICKS, Table.stack(tables), tables, epochs=4)


@pytest.mark.usefixtures("rows_in_order")
def test_early_stopping_keeps_each_repeats_own_best(mixed_table, mixed_tasks):
    """Scores are scripted, so that each repeat is best at another evaluation."""
    table = tables_of(mixed_table)[0]
    script = torch.tensor([[1.0, 1.0, 3.0], [2.0, 3.0, 2.0], [3.0, 2.0, 1.0], [0.0, 1.0, 0.0]])

    def scripted(columns):
        rows = iter(script[:, columns])
        return lambda model, validation: next(rows)

    def build():
        return SharedBottom(table.schema, mixed_tasks, widths=(8,)).double()

    stacked = Stacked(models_of(build))
    history = fit(stacked, table.repeat(3), mixed_tasks, epochs=4, validation=table.repeat(3),
                  monitor=scripted(slice(None)), **KNOBS)
    assert history.best_step.tolist() == [9, 6, 3]
    for repeat, model in enumerate(models_of(build)):
        fit(model, table, mixed_tasks, epochs=4, validation=table, monitor=scripted(repeat), **KNOBS)
        for name, value in model.state_dict().items():
            if (key := name.replace(".", "/")) in stacked.weights:
                torch.testing.assert_close(stacked.weights[key][repeat], value, rtol=0, atol=1e-9)


def test_patience_lasts_while_any_repeat_still_improves(mixed_table, mixed_tasks):
    table = mixed_table(60)
    scores = iter(torch.tensor([[1.0, 9.0], [2.0, 8.0], [3.0, 7.0], [2.0, 6.0], [9.0, 9.9]]))
    stacked = Stacked([SharedBottom(table.schema, mixed_tasks, widths=(8,)) for _ in range(2)])
    history = fit(stacked, table.repeat(2), mixed_tasks, epochs=5, validation=table.repeat(2), patience=1,
                  monitor=lambda model, rows: next(scores), **KNOBS)
    assert [step for step, _ in history.scores] == [2, 4, 6, 8]
    assert history.best_step.tolist() == [6, 2]


def test_gates_and_losses_of_a_stack_are_those_of_its_models(mixed_table, mixed_tasks):
    tables = tables_of(mixed_table)
    models = models_of(lambda: MMoE(tables[0].schema, mixed_tasks))
    stacked, table = Stacked(models), Table.stack(tables)
    gates, losses = stacked.gate_weights(table.inputs), mean_losses(stacked, table, mixed_tasks)
    for repeat, model in enumerate(models):
        torch.testing.assert_close(gates[repeat], model.gate_weights(tables[repeat].inputs), rtol=0, atol=1e-12)
        torch.testing.assert_close(losses[repeat], mean_losses(model, tables[repeat], mixed_tasks))


def test_large_tables_are_scored_in_parts(monkeypatch, mixed_table, mixed_tasks):
    table = mixed_table(50)
    model = SharedBottom(table.schema, mixed_tasks)
    stacked = Stacked([model, model])
    whole, stacked_whole = outputs_of(model, table), outputs_of(stacked, table.repeat(2))
    monkeypatch.setattr("mtl_tutorial.inference.BATCH", 16)
    for task in mixed_tasks:
        torch.testing.assert_close(outputs_of(model, table)[task.name], whole[task.name])
        torch.testing.assert_close(outputs_of(stacked, table.repeat(2))[task.name], stacked_whole[task.name])


def test_dropout_differs_between_repeats_and_stops_in_evaluation():
    torch.manual_seed(0)
    model = Dropout()
    stacked = Stacked([model, model])
    inputs = Inputs(torch.zeros(2, 50, 0, dtype=torch.long), torch.ones(2, 50, 3), torch.zeros(2, 50).long())
    first, second = stacked(inputs)["click"]
    assert not torch.equal(first, second)
    stacked.eval()
    first, second = stacked(inputs)["click"]
    assert torch.equal(first, second)
    assert torch.equal(first, model.eval()(Inputs(*(column[0] for column in inputs)))["click"])
    stacked.train()
    assert not torch.equal(*stacked(inputs)["click"])


def test_frozen_parameters_stay_frozen(mixed_table, mixed_tasks):
    table = mixed_table(60)
    models = [SharedBottom(table.schema, mixed_tasks, widths=(8,)) for _ in range(2)]
    for model in models:
        model.body.requires_grad_(False)
    stacked = Stacked(models)
    fit(stacked, table.repeat(2), mixed_tasks, epochs=1, **KNOBS)
    for repeat, model in enumerate(models):
        assert torch.equal(stacked.weights["body/layers/0/weight"][repeat], model.body.layers[0].weight)
        assert not torch.equal(stacked.weights["towers/weight"][repeat], model.towers.weight)


def test_training_a_stack_leaves_the_models_it_was_made_of_alone(mixed_table, mixed_tasks):
    table = mixed_table(60)
    model = SharedBottom(table.schema, mixed_tasks)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(Stacked([model, model]), table.repeat(2), mixed_tasks, epochs=1, **KNOBS)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", BUILDERS)
def test_models_taken_out_of_a_stack_emit_what_the_stack_did(name, mixed_table, mixed_tasks):
    tables = tables_of(mixed_table, 60)
    stack = Stacked(models_of(lambda: BUILDERS[name](tables[0].schema, mixed_tasks)))
    fit(stack, Table.stack(tables), mixed_tasks, epochs=1, **KNOBS)
    whole = outputs_of(stack, Table.stack(tables))
    for repeat, (model, table) in enumerate(zip(stack.models(), tables, strict=True)):
        for task, output in outputs_of(model, table).items():
            torch.testing.assert_close(whole[task][repeat], output, rtol=0, atol=1e-12)


def test_models_taken_out_of_a_stack_are_copies_and_as_frozen_as_they_were(mixed_table, mixed_tasks):
    first = SharedBottom(mixed_table(4).schema, mixed_tasks, widths=(16,))
    first.body.requires_grad_(False)
    stack = Stacked([first])
    (model,) = stack.models()
    assert {name: p.requires_grad for name, p in model.named_parameters()} == {
        name: p.requires_grad for name, p in first.named_parameters()}
    before = {key: value.clone() for key, value in stack.weights.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert all(torch.equal(stack.weights[key], value) for key, value in before.items())


def test_stack_refuses_nothing_and_models_that_differ():
    with pytest.raises(ValueError, match="nothing to stack: give at least one model"):
        Stacked([])
    schema = Schema((), 3, 1)
    models = [SharedBottom(schema, CLICKS, widths=(4,)), SharedBottom(schema, CLICKS, widths=(5,))]
    with pytest.raises(ValueError, match="model 1 has other parameters than model 0"):
        Stacked(models)
