"""Every model of many scenarios against a loop over rows, each through its own scenario's weights, in float64."""

import pytest
import torch
from plain_loops import (
    DIM,
    assert_equal_outputs_and_gradients,
    draw_inputs,
    each_tower,
    encode,
    expert,
)
from torch.nn import functional as F

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.models.m2m import M2M
from mtl_tutorial.models.pepnet import PEPNet
from mtl_tutorial.models.per_scenario import PerScenario
from mtl_tutorial.models.scenario_towers import ScenarioTowers
from mtl_tutorial.models.star import STAR
from mtl_tutorial.tasks import Task

TASKS = [Task("click"), Task("segment", "multiclass", 4), Task("spend", "regression")]
COLUMNS = {"click": 0, "segment": slice(1, 5), "spend": 5}
SCHEMAS = {"ids and numbers": Schema((5, 2, 4), 3, 3), "ids": Schema((5, 2, 4), 0, 3),
           "one scenario": Schema((5, 2, 4), 3, 1), "numbers": Schema((), 6, 3)}
ROWS = 24


def each_row(inputs, of_row):
    """Stack what ``of_row(b, scenario)`` says of every row, task -> [B, …]."""
    rows = [of_row(b, s) for b, s in enumerate(inputs.scenario.tolist())]
    return {task: torch.stack([row[task] for row in rows]) for task in rows[0]}


def layer_of(module, x, *member):
    return F.linear(x, module.weight[member].T, module.bias[member])


def grouped_towers(towers, vector, s):
    outputs = {}
    for t, task in enumerate(TASKS):
        hidden = vector
        for layer in towers.hidden.layers:
            hidden = layer_of(layer, hidden, s, t).relu()
        own = COLUMNS[task.name]
        outputs[task.name] = hidden @ towers.weight[s][:, own] + towers.bias[s][own]
    return outputs


def per_scenario(model, schema, inputs):
    sizes = [schema.scenarios * size for size in schema.cardinalities]
    tables = model.encoder.embedding.table.weight.split(sizes) if sizes else ()

    def of_row(b, s):
        vectors = [table.chunk(schema.scenarios)[s][inputs.categorical[b, field]]
                   for field, table in enumerate(tables)]
        hidden = torch.cat([*vectors, inputs.numeric[b]])
        for layer in model.bodies.layers:
            hidden = layer_of(layer, hidden, s, 0).relu()
        return grouped_towers(model.towers, hidden, s)

    return each_row(inputs, of_row)


def scenario_towers(model, schema, inputs):
    shared = expert(model.body, 0, encode(model.encoder, schema, inputs))
    return each_row(inputs, lambda b, s: grouped_towers(model.towers, shared[b], s))


def star(model, schema, inputs):
    x = encode(model.encoder, schema, inputs)
    norm, normed = model.norm, torch.zeros_like(x)
    for s in range(schema.scenarios):
        rows = (inputs.scenario == s).nonzero().squeeze(1)
        scale, shift = norm.scale * norm.own_scale[s], norm.shift + norm.own_shift[s]
        normed[rows] = F.batch_norm(x[rows], norm.running_mean[s].clone(), norm.running_variance[s].clone(),
                                    scale, shift, training=model.training)

    def of_row(b, s):
        main = normed[b]
        for layer in [*model.hidden, model.output]:
            main = F.linear(main, (layer.weight * layer.own_weight[s]).T, layer.bias + layer.own_bias[s])
            main = main if layer is model.output else main.relu()
        told = torch.cat([model.scenario.embedding.table.weight[s], x[b]])
        final = model.auxiliary_output
        logits = main + F.linear(expert(model.auxiliary, 0, told), final.weight, final.bias)
        return {task: logits[own] for task, own in COLUMNS.items()}

    return each_row(inputs, of_row)


def gate_of(gate, member, prior, embedding):
    hidden = layer_of(gate.first, torch.cat([prior, embedding.detach()]), member).relu()
    return 2 / (1 + (-layer_of(gate.second, hidden, member)).exp())


def pepnet(model, schema, inputs):
    x = encode(model.encoder, schema, inputs)

    def of_row(b, s):
        prior = torch.cat([x[b, 2 * DIM:3 * DIM], x[b, :DIM]])                   # fields 2 and 0
        scaled = x[b] * gate_of(model.embedding_gate, 0, model.scenario.embedding.table.weight[s], x[b])
        vectors = []
        for t in range(3):
            hidden = scaled
            for layer, gate in zip(model.towers.layers, model.towers.gates, strict=True):
                hidden = layer_of(layer, hidden, t).relu() * gate_of(gate, t, prior, scaled)
            vectors.append(hidden.unsqueeze(0))
        return {task: output[0] for task, output in each_tower(model.towers.output, TASKS, vectors).items()}

    return each_row(inputs, of_row)


def meta_unit(unit, member, knowledge, x):
    members, inputs, outputs = unit.shape
    weight = (unit.weights.weight @ knowledge + unit.weights.bias).reshape(members, inputs, outputs)[member]
    bias = (unit.biases.weight @ knowledge + unit.biases.bias).reshape(members, outputs)[member]
    return F.leaky_relu(x @ weight + bias)


def m2m(model, schema, inputs):
    x = encode(model.encoder, schema, inputs)
    experts = [expert(model.experts, e, x) for e in range(3)]

    def of_row(b, s):
        known = model.scenario_view(model.scenario.embedding.table.weight[s]).relu()
        vectors = []
        for t in range(3):
            about = model.task_view(model.task[t]).relu()
            scores = [model.attention.score(meta_unit(model.attention.unit, 0, known, torch.cat([own[b], about])))
                      for own in experts]
            shares = torch.cat(scores).exp() / torch.cat(scores).exp().sum()
            mixed = sum(share * own[b] for share, own in zip(shares, experts, strict=True))
            for layer in model.layers:
                mixed = F.leaky_relu(meta_unit(layer, t, known, mixed) + mixed)
            vectors.append(mixed.unsqueeze(0))
        return {task: output[0] for task, output in each_tower(model.towers, TASKS, vectors).items()}

    return each_row(inputs, of_row)


MODELS = {
    "PerScenario": (lambda schema: PerScenario(schema, TASKS, DIM, widths=(8, 6), tower=(5,)), per_scenario),
    "ScenarioTowers": (lambda schema: ScenarioTowers(schema, TASKS, DIM, widths=(8,), tower=(5,)), scenario_towers),
    "ScenarioTowers, deep": (lambda schema: ScenarioTowers(schema, TASKS, DIM, widths=(8, 7), tower=(6, 5)),
                             scenario_towers),
    "ScenarioTowers, linear": (lambda schema: ScenarioTowers(schema, TASKS, DIM, widths=(8,), tower=()),
                               scenario_towers),
    "STAR": (lambda schema: STAR(schema, TASKS, DIM, widths=(8, 6), auxiliary=(5,)), star),
    "PEPNet": (lambda schema: PEPNet(schema, TASKS, (2, 0), DIM, widths=(8, 6), gate=5), pepnet),
    "M2M": (lambda schema: M2M(schema, TASKS, DIM, experts=3, widths=(8, 6), knowledge=4, depth=1), m2m),
    "M2M of two meta layers": (lambda schema: M2M(schema, TASKS, DIM, experts=3, widths=(6,), depth=2), m2m),
}
CASES = [(name, features) for name in MODELS for features in SCHEMAS
         if not (name == "PEPNet" and features == "numbers")]                    # its prior needs ids


def built(name, features):
    """Return a model whose weights are all off their start, in training mode, and inputs of each scenario."""
    schema = SCHEMAS[features]
    torch.manual_seed(0)
    model = MODELS[name][0](schema).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    inputs = draw_inputs(schema, ROWS)
    return model, schema, inputs._replace(scenario=torch.arange(ROWS).square() % 7 % schema.scenarios)


@pytest.mark.parametrize(("name", "features"), CASES)
def test_model_equals_its_loop_over_rows(name, features):
    model, schema, inputs = built(name, features)
    assert inputs.scenario.bincount(minlength=schema.scenarios).min() >= 2
    plain = MODELS[name][1](model, schema, inputs)
    assert_equal_outputs_and_gradients(model, model(inputs), plain)


@pytest.mark.parametrize("features", SCHEMAS)
def test_star_in_evaluation_equals_its_loop_over_rows(features):
    model, schema, inputs = built("STAR", features)
    for _ in range(3):
        model(inputs)                                                            # running statistics to go by
    model.eval()
    assert_equal_outputs_and_gradients(model, model(inputs), star(model, schema, inputs))


@pytest.mark.parametrize(("name", "features"), CASES)
def test_one_row_gives_what_it_gives_among_others(name, features):
    model, schema, inputs = built(name, features)
    model(inputs)
    model.eval()
    alone = Inputs(*(column[:1] for column in inputs))
    among, one, plain = model(inputs), model(alone), MODELS[name][1](model, schema, alone)
    for task in one:
        assert one[task].shape == (1, *among[task].shape[1:])
        torch.testing.assert_close(one[task], among[task][:1], rtol=0, atol=1e-12)
        torch.testing.assert_close(one[task], plain[task], rtol=0, atol=1e-10)
