"""What each model of many scenarios promises, beyond its arithmetic (see tests/parity)."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mtl_tutorial.checkpoint import load_checkpoint, save_checkpoint
from mtl_tutorial.data.table import Inputs, Table
from mtl_tutorial.evaluation import auc
from mtl_tutorial.inference import predict
from mtl_tutorial.models.m2m import M2M
from mtl_tutorial.models.pepnet import PEPNet, prior_gate
from mtl_tutorial.models.per_scenario import PerScenario
from mtl_tutorial.models.scenario_towers import ScenarioTowers
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.models.star import STAR, compose_star_weights
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

BUILDERS = {
    "PerScenario": PerScenario,
    "ScenarioTowers": ScenarioTowers,
    "STAR": STAR,
    "PEPNet": lambda schema, tasks, **knobs: PEPNet(schema, tasks, prior=(0, 1), **knobs),
    "M2M": M2M,
}
OWN = {"PerScenario": ("bodies.", "towers."), "ScenarioTowers": ("towers.",),
       "STAR": ("own_", "scenario."), "PEPNet": ("scenario.",), "M2M": ("scenario.",)}
KNOBS = {"epochs": 12, "batch_size": 100, "lr": 0.01, "device": "cpu"}
every_model = pytest.mark.parametrize("name", BUILDERS)


def built(name, table, tasks, dtype=torch.float32):
    torch.manual_seed(0)
    return BUILDERS[name](table.schema, tasks).to(dtype)


def own_parameters(name, model):
    """The parameters that hold one slice per scenario, [S, …] each."""
    found = {key: p for key, p in model.named_parameters() if any(part in key for part in OWN[name])}
    assert found
    return found


def only(table, *scenarios):
    return table.take(torch.isin(table.scenario, torch.tensor(scenarios)).nonzero().squeeze(1))


# --- learning ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@every_model
def test_scenarios_that_contradict_each_other_are_learned_for_every_kind_of_task(name, precision, mixed_table,
                                                                                mixed_tasks):
    train, test = mixed_table(3000, scenarios=3), mixed_table(2700, seed=1, scenarios=3)
    model = built(name, train, mixed_tasks)
    fit(model, train, mixed_tasks, precision=precision, **KNOBS)
    for s in range(3):
        part = only(test, s)
        found = predict(model, part, mixed_tasks)
        spend, seen = part.targets["spend"], part.mask("spend")
        assert auc(part.targets["click"], found["click"]) > 0.8
        assert (found["segment"].argmax(-1) == part.targets["segment"]).float().mean() > 0.9
        assert (found["spend"][seen] - spend[seen]).square().mean() < 0.2 * spend[seen].var()


def test_a_pooled_model_that_is_not_told_the_scenario_cannot_learn_them(mixed_table, mixed_tasks):
    """The test above would pass for any model if the scenarios did not contradict each other."""
    train, test = mixed_table(3000, scenarios=3), mixed_table(2700, seed=1, scenarios=3)
    torch.manual_seed(0)
    model = SharedBottom(train.schema, mixed_tasks)
    fit(model, train, mixed_tasks, **KNOBS)
    odd = only(test, 1)
    found = predict(model, odd, mixed_tasks)
    seen = odd.mask("spend")
    error = (found["spend"] - odd.targets["spend"])[seen].square().mean()
    assert error > 0.5 * odd.targets["spend"][seen].var()


@every_model
def test_a_task_without_a_positive_is_predicted_rare_and_the_others_are_learned(name, mixed_table):
    tasks = [Task("click"), Task("purchase")]
    table = mixed_table(1500, scenarios=3)
    table = table.with_targets({**table.targets, "purchase": torch.zeros(1500)})
    model = built(name, table, tasks)
    history = fit(model, table, tasks, **KNOBS)
    found = predict(model, table, tasks)
    assert history.losses.isfinite().all()
    assert found["purchase"].max() < 0.05
    assert auc(table.targets["click"], found["click"]) > 0.9


# --- scenarios without rows ----------------------------------------------------------------------------------

@every_model
def test_a_scenario_that_is_not_in_the_batch_gets_gradient_zero(name, mixed_table, mixed_tasks):
    table = mixed_table(60, scenarios=4)
    model = built(name, table, mixed_tasks)
    outputs = model(only(table, 0, 1, 3).inputs)
    sum(output.square().sum() for output in outputs.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    for key, parameter in own_parameters(name, model).items():
        touched = parameter.grad.flatten(1).abs().sum(1).gt(0).tolist()
        assert touched == [True, True, False, True], key


@every_model
def test_a_scenario_unseen_in_training_keeps_its_start_and_its_outputs_are_finite(name, mixed_table, mixed_tasks):
    table = mixed_table(300, scenarios=4)
    model = built(name, table, mixed_tasks)
    before = {key: p.detach().clone() for key, p in own_parameters(name, model).items()}
    fit(model, only(table, 0, 1, 3), mixed_tasks, **KNOBS)
    for key, parameter in own_parameters(name, model).items():
        assert torch.equal(parameter[2], before[key][2]), key
        assert not torch.equal(parameter[1], before[key][1]), key
    assert all(output.isfinite().all() for output in model(only(table, 2).inputs).values())


def test_a_scenario_unseen_by_star_is_served_by_the_centre(mixed_table, mixed_tasks):
    table = mixed_table(300, scenarios=4, dtype=torch.float64)
    model = built("STAR", table, mixed_tasks, torch.float64)
    vector = model.scenario.of_all()[2].detach().clone()
    fit(model, only(table, 0, 1, 3), mixed_tasks, **KNOBS)
    new = only(table, 2).inputs
    x = model.encoder(new)
    mean, variance = model.norm.running_statistics()
    main = (x - mean[2]) / (variance[2] + model.norm.eps).sqrt() * model.norm.scale + model.norm.shift
    for layer in model.hidden:
        main = F.relu(F.linear(main, layer.weight.T, layer.bias))
    main = F.linear(main, model.output.weight.T, model.output.bias)
    told = torch.cat([vector.expand(len(x), -1), x], 1)
    logits = main + model.auxiliary_output(model.auxiliary(told).squeeze(1))
    torch.testing.assert_close(model(new)["spend"], logits[:, -1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
@every_model
def test_an_empty_batch_gives_empty_outputs(name, training, mixed_table, mixed_tasks):
    table = mixed_table(20, scenarios=3)
    model = built(name, table, mixed_tasks).train(training)
    outputs = model(table.take(slice(0, 0)).inputs)
    assert {task: tuple(output.shape) for task, output in outputs.items()} \
        == {"click": (0,), "segment": (0, 3), "spend": (0,)}
    sum(output.sum() for output in outputs.values()).backward()
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in model.parameters())


@pytest.mark.parametrize("foreign", [3, -1])
@every_model
def test_a_scenario_that_the_model_does_not_have_is_named(name, foreign, mixed_table, mixed_tasks):
    table = mixed_table(20, scenarios=3)
    model = built(name, table, mixed_tasks)
    scenario = table.scenario.clone()
    scenario[7] = foreign
    inputs = table.inputs._replace(scenario=scenario)
    with pytest.raises(IndexError, match=f"scenario {foreign} is outside 0 … 2"):
        model(inputs)
    with pytest.raises(IndexError, match=f"scenario {foreign} is outside 0 … 2"):
        Stacked([model, model])(Inputs(*(torch.stack([column, column]) for column in inputs)))


# --- rows and scenarios apart --------------------------------------------------------------------------------

@every_model
def test_at_inference_a_row_gets_the_same_logits_whatever_rows_are_beside_it(name, mixed_table, mixed_tasks):
    table = mixed_table(200, scenarios=3, dtype=torch.float64)
    model = built(name, table, mixed_tasks, torch.float64)
    fit(model, table, mixed_tasks, **{**KNOBS, "epochs": 2})
    among = model(table.inputs)
    shuffled = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    for index in (torch.tensor([5]), (table.scenario == 1).nonzero().squeeze(1), shuffled):
        found = model(table.take(index).inputs)
        for task, output in found.items():
            torch.testing.assert_close(output, among[task][index], rtol=0, atol=1e-12)


def test_scenarios_of_separate_networks_share_no_weight_and_no_embedding(mixed_table, mixed_tasks):
    table = mixed_table(60, scenarios=3)
    model = built("PerScenario", table, mixed_tasks)
    sum(output.sum() for output in model(only(table, 1).inputs).values()).backward()
    for key, parameter in own_parameters("PerScenario", model).items():
        assert parameter.grad[[0, 2]].abs().sum() == 0, key
    colours, sizes = model.encoder.embedding.table.weight.grad.split([3 * 5, 3 * 4])     # own ids, field by field
    for field in (colours, sizes):
        assert field.chunk(3)[1].abs().sum() > 0
        assert field.chunk(3)[0].abs().sum() == field.chunk(3)[2].abs().sum() == 0


def test_scenario_towers_share_the_body(mixed_table, mixed_tasks):
    table = mixed_table(60, scenarios=3)
    model = built("ScenarioTowers", table, mixed_tasks)
    sum(output.sum() for output in model(only(table, 1).inputs).values()).backward()
    assert model.body.layers[0].weight.grad.abs().sum() > 0
    assert model.encoder.embedding.table.weight.grad.abs().sum() > 0
    assert model.towers.weight.grad[[0, 2]].abs().sum() == 0


# --- STAR ----------------------------------------------------------------------------------------------------

def test_star_multiplies_weights_and_adds_biases():
    shared, own = torch.tensor([[1, 2], [3, 4]]), torch.tensor([[[1, 1], [1, 1]], [[0.5, 0], [2, -1]]])
    weight, bias = compose_star_weights(shared, torch.tensor([1, 2]), own, torch.tensor([[0, 0], [3, -2]]))
    assert weight.tolist() == [[[1, 2], [3, 4]], [[0.5, 0], [6, -4]]]
    assert bias.tolist() == [[1, 2], [4, 0]]


def test_all_scenarios_of_star_start_as_the_centre(mixed_table, mixed_tasks):
    table = mixed_table(30, scenarios=3)
    model = built("STAR", table, mixed_tasks).eval()
    nn.init.zeros_(model.scenario.of_all())                     # the auxiliary network alone tells them apart
    first, *others = (model(table.inputs._replace(scenario=torch.full((30,), s)))["click"] for s in range(3))
    for other in others:
        torch.testing.assert_close(other, first)


def test_star_survives_a_checkpoint_running_statistics_included(tmp_path, mixed_table, mixed_tasks):
    table = mixed_table(300, scenarios=3)
    model, again = built("STAR", table, mixed_tasks), BUILDERS["STAR"](table.schema, mixed_tasks)
    fit(model, table, mixed_tasks, **KNOBS)
    save_checkpoint(tmp_path / "star", model.state_dict(), {})
    again.load_state_dict(load_checkpoint(tmp_path / "star")[0])
    for task, output in again.eval()(table.inputs).items():
        assert torch.equal(output, model(table.inputs)[task])


@pytest.mark.parametrize("repeats", [None, 2])
def test_training_of_star_resumed_ends_with_the_bits_of_an_uninterrupted_run(tmp_path, repeats, mixed_table,
                                                                             mixed_tasks):
    table = mixed_table(300, scenarios=3)

    def fresh():
        model = built("STAR", table, mixed_tasks)
        return model if repeats is None else Stacked([model, built("STAR", table, mixed_tasks)])

    rows = table if repeats is None else Table.stack([table, mixed_table(300, seed=1, scenarios=3)])
    whole, parts, calls = fresh(), fresh(), iter(range(17))

    def interrupt(*_):
        if next(calls, None) is None:
            raise KeyboardInterrupt

    fit(whole, rows, mixed_tasks, **KNOBS)
    handle = parts.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(parts, rows, mixed_tasks, checkpoint=tmp_path / "run", checkpoint_every=5, **KNOBS)
    handle.remove()
    resumed = fresh()
    fit(resumed, rows, mixed_tasks, checkpoint=tmp_path / "run", checkpoint_every=5, **KNOBS)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


# --- PEPNet --------------------------------------------------------------------------------------------------

def test_a_gate_lies_between_zero_and_two_and_is_one_where_nothing_speaks():
    first, second = nn.Linear(5, 4), nn.Linear(4, 3)
    prior, embedding = torch.randn(2, 50, 5, generator=torch.Generator().manual_seed(0)).split([2, 3], -1)
    found = prior_gate(20 * prior[0], 20 * embedding[0], first, second)
    assert found.shape == (50, 3)
    assert found.min() >= 0
    assert found.max() <= 2
    assert found.std() > 0.1
    assert torch.equal(prior_gate(prior[0], embedding[0], first, lambda hidden: 0 * hidden), torch.ones(50, 4))


def test_a_gate_reads_the_embedding_but_does_not_teach_it():
    first, second = nn.Linear(5, 4), nn.Linear(4, 3)
    prior, embedding = torch.randn(50, 2, requires_grad=True), torch.randn(50, 3, requires_grad=True)
    out = prior_gate(prior, embedding, first, second)
    assert not torch.equal(out, prior_gate(prior, embedding + 1, first, second))
    out.sum().backward()
    assert prior.grad.abs().sum() > 0
    assert embedding.grad is None


def test_fields_outside_the_prior_learn_nothing_through_the_gates(mixed_table, mixed_tasks):
    """With towers and embedding gate cut off, what gradient is left came through PPNet's gates."""
    table = mixed_table(30, scenarios=3)
    torch.manual_seed(0)
    model = PEPNet(table.schema, mixed_tasks, prior=(1,))
    x = model.encoder(table.inputs).detach().requires_grad_()
    gates = [gate(x[:, model.prior_columns], x) for gate in model.towers.gates]
    sum(gate.sum() for gate in gates).backward()
    told = x.grad.abs().sum(0).gt(0)
    assert told.tolist() == [False] * 8 + [True] * 8 + [False] * 3


@pytest.mark.parametrize("position", [2, -1])
def test_a_prior_that_is_no_field_is_refused(position, mixed_table, mixed_tasks):
    with pytest.raises(ValueError, match=f"prior field {position} is none of the 2 fields"):
        PEPNet(mixed_table(5, scenarios=3).schema, mixed_tasks, prior=(0, position))


# --- M2M -----------------------------------------------------------------------------------------------------

def test_attention_sums_to_one_and_hangs_on_task_and_scenario(mixed_table, mixed_tasks):
    table = mixed_table(30, scenarios=3, dtype=torch.float64)
    model = built("M2M", table, mixed_tasks, torch.float64)
    with torch.no_grad():
        model.scenario.of_all().mul_(20)                        # as far apart as after some training
    gates = [model.gate_weights(table.inputs._replace(scenario=torch.full((30,), s))) for s in range(3)]
    torch.testing.assert_close(gates[0].sum(-1), torch.ones(30, 3, dtype=torch.float64))
    assert (gates[0] - gates[1]).abs().mean() > 1e-3
    assert (gates[0][:, 0] - gates[0][:, 1]).abs().mean() > 1e-4
    mixed = model.gate_weights(table.inputs)
    for b, s in enumerate(table.scenario.tolist()):
        torch.testing.assert_close(mixed[b], gates[s][b], rtol=0, atol=1e-12)


def test_what_is_known_of_a_scenario_changes_its_own_rows_alone(mixed_table, mixed_tasks):
    table = mixed_table(60, scenarios=3)
    model = built("M2M", table, mixed_tasks)
    before = model(table.inputs)["click"]
    with torch.no_grad():
        model.scenario.of_all()[1] += 1
    changed = model(table.inputs)["click"] != before
    assert torch.equal(changed, table.scenario == 1)
