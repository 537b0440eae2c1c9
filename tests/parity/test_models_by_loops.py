"""Every model against a version of itself in plain loops over fields, experts and tasks, in float64."""

import pytest
import torch
from plain_loops import (
    DIM,
    assert_equal_outputs_and_gradients,
    draw_inputs,
    each_tower,
    encode,
    expert,
    gate,
    mix,
    tower,
)
from torch.nn import functional as F

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.models.aitm import AITM
from mtl_tutorial.models.behaviour import BehaviourModel
from mtl_tutorial.models.esmm import ESMM
from mtl_tutorial.models.mmoe import MMoE, OMoE
from mtl_tutorial.models.ple import CGC, PLE
from mtl_tutorial.models.shared_bottom import SharedBottom, shared_bottom_forward
from mtl_tutorial.models.single_task import SingleTask
from mtl_tutorial.tasks import Task

TASKS = [Task("click"), Task("segment", "multiclass", 4), Task("spend", "regression")]
FUNNEL = [Task("click"), Task("cart"), Task("purchase")]
SCHEMAS = {"ids and numbers": Schema((5, 2, 4), 3, 1), "ids": Schema((5, 2, 4), 0, 1), "numbers": Schema((), 6, 1)}


def single_task(model, schema, inputs):
    vectors = [expert(model.bodies, t, encode(model.encoders, schema, inputs, copy=t)) for t in range(3)]
    return each_tower(model.towers, TASKS, vectors)


def shared_bottom(model, schema, inputs):
    return each_tower(model.towers, TASKS, [expert(model.body, 0, encode(model.encoder, schema, inputs))] * 3)


def mmoe(model, schema, inputs):
    x = encode(model.encoder, schema, inputs)
    experts = [expert(model.experts, e, x) for e in range(4)]
    return each_tower(model.towers, TASKS, [mix(gate(model.gate, t, x), experts) for t in range(3)])


def omoe(model, schema, inputs):
    x = encode(model.encoder, schema, inputs)
    experts = [expert(model.experts, e, x) for e in range(4)]
    return each_tower(model.towers, TASKS, [mix(gate(model.gate, 0, x), experts)] * 3)


def ple(model, schema, inputs, own=2, shared=3):
    of_task, of_all = [encode(model.encoder, schema, inputs)] * 3, encode(model.encoder, schema, inputs)
    for number, level in enumerate(model.levels):
        owned = [[expert(level.experts, t * own + p, of_task[t]) for p in range(own)] for t in range(3)]
        common = [expert(level.experts, 3 * own + s, of_all) for s in range(shared)]
        next_of_task = [mix(gate(level.task_gate, t, of_task[t]), owned[t] + common) for t in range(3)]
        if number < len(model.levels) - 1:
            of_all = mix(gate(level.shared_gate, 0, of_all), [*owned[0], *owned[1], *owned[2], *common])
        of_task = next_of_task
    return each_tower(model.towers, TASKS, of_task)


def esmm(model, schema, inputs):
    x = encode(model.encoder, schema, inputs)
    tasks = [Task("click"), Task("conversion")]
    outputs = each_tower(model.towers, tasks, [expert(model.bodies, t, x) for t in range(2)])
    return {**outputs, "purchase": torch.logit(outputs["click"].sigmoid() * outputs["conversion"].sigmoid())}


def aitm(model, schema, inputs):
    x = encode(model.encoder, schema, inputs)
    own = [expert(model.bodies, t, x) for t in range(3)]
    steps = [own[0]]
    for transfer, mine in zip(model.transfers, own[1:], strict=True):
        width = mine.shape[1]
        linear = transfer.passed[0]
        passed = F.relu(F.linear(steps[-1], linear.weight, linear.bias))
        query, key, value = transfer.query_key_value.weight.split(width)
        scores, values = [], []
        for vector in (passed, mine):
            scores.append((F.linear(vector, query) * F.linear(vector, key)).sum(1) / width**0.5)
            values.append(F.linear(vector, value))
        steps.append(mix(F.softmax(torch.stack(scores, 1), dim=1), values))
    return each_tower(model.towers, FUNNEL, steps)


MODELS = {
    "SingleTask": (lambda schema: SingleTask(schema, TASKS, DIM, widths=(8, 6), tower=(5,)), single_task),
    "SharedBottom": (lambda schema: SharedBottom(schema, TASKS, DIM, widths=(8, 6), tower=(5,)), shared_bottom),
    "SharedBottom without hidden towers": (lambda schema: SharedBottom(schema, TASKS, DIM, widths=(8,), tower=()),
                                           shared_bottom),
    "OMoE": (lambda schema: OMoE(schema, TASKS, DIM, experts=4, widths=(6,), tower=(5,)), omoe),
    "MMoE": (lambda schema: MMoE(schema, TASKS, DIM, experts=4, widths=(8, 6), tower=(5,)), mmoe),
    "CGC": (lambda schema: CGC(schema, TASKS, DIM, own=2, shared=3, widths=(6,), tower=(5,)), ple),
    "PLE": (lambda schema: PLE(schema, TASKS, DIM, own=2, shared=3, widths=(8, 6), tower=(5,), levels=2), ple),
    "PLE of three levels": (lambda schema: PLE(schema, TASKS, DIM, own=2, shared=3, widths=(6,), levels=3), ple),
    "ESMM": (lambda schema: ESMM(schema, DIM, widths=(6,), tower=(5,)), esmm),
    "AITM": (lambda schema: AITM(schema, FUNNEL, DIM, widths=(6,)), aitm),
}


@pytest.mark.parametrize("features", SCHEMAS)
@pytest.mark.parametrize("name", MODELS)
def test_model_equals_its_plain_loops(name, features):
    build, loops = MODELS[name]
    schema = SCHEMAS[features]
    torch.manual_seed(0)
    model = build(schema).double()
    inputs = draw_inputs(schema, 16)
    assert_equal_outputs_and_gradients(model, model(inputs), loops(model, schema, inputs))


@pytest.mark.parametrize("name", MODELS)
def test_one_row_gives_what_it_gives_among_others(name):
    build, loops = MODELS[name]
    schema = SCHEMAS["ids and numbers"]
    torch.manual_seed(0)
    model = build(schema).double()
    inputs = draw_inputs(schema, 16)
    alone = Inputs(*(column[:1] for column in inputs))
    among, one, plain = model(inputs), model(alone), loops(model, schema, alone)
    for task in one:
        assert one[task].shape == (1, *among[task].shape[1:])
        torch.testing.assert_close(one[task], among[task][:1], rtol=0, atol=1e-10)
        torch.testing.assert_close(one[task], plain[task], rtol=0, atol=1e-10)


def test_shared_bottom_equals_the_definition_tower_by_tower():
    schema, tasks = SCHEMAS["ids and numbers"], [Task("click"), Task("purchase"), Task("spend", "regression")]
    torch.manual_seed(0)
    model = SharedBottom(schema, tasks, DIM, widths=(8,), tower=(5,)).double()
    inputs = draw_inputs(schema, 16)

    def one_tower(t):
        return lambda hidden: tower(model.towers, tasks, t, hidden).unsqueeze(1)

    plain = shared_bottom_forward(encode(model.encoder, schema, inputs), lambda x: expert(model.body, 0, x),
                                  {task.name: one_tower(t) for t, task in enumerate(tasks)})
    assert_equal_outputs_and_gradients(model, model(inputs), plain)


@pytest.mark.parametrize("rows", [9, 1])
def test_behaviour_model_equals_its_plain_loops(rows):
    torch.manual_seed(0)
    model = BehaviourModel(users=6, items=5, profiles=4, dim=3, hidden=7).double()
    torch.nn.init.normal_(model.item_bias)
    pairs = torch.stack([torch.arange(rows) % 6, torch.arange(rows) * 2 % 5], 1)
    first, _, last = model.behaviour
    plain = {"behaviour": [], "item": [], "profile": []}
    for user_id, item_id in pairs.tolist():
        user, item = model.user.weight[user_id], model.item.weight[item_id]
        hidden = F.relu(F.linear(torch.cat([user, item, user * item]), first.weight, first.bias))
        plain["behaviour"].append(F.linear(hidden, last.weight, last.bias))
        plain["item"].append(torch.stack([user @ model.item.weight[i] + model.item_bias[i] for i in range(5)]))
        plain["profile"].append(F.linear(user, model.profile.weight, model.profile.bias))
    ours = model(Inputs(pairs, torch.zeros(rows, 0), torch.zeros(rows, dtype=torch.long)))
    assert_equal_outputs_and_gradients(model, ours, {name: torch.stack(parts) for name, parts in plain.items()})
