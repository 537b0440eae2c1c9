"""What each architecture promises, beyond its arithmetic (see tests/parity)."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mtl_tutorial.data.table import Schema, Table
from mtl_tutorial.evaluation import auc
from mtl_tutorial.inference import predict
from mtl_tutorial.models.aitm import AITM
from mtl_tutorial.models.behaviour import BehaviourModel
from mtl_tutorial.models.esmm import ESMM, esmm_losses, product_logit
from mtl_tutorial.models.mmoe import MMoE, OMoE
from mtl_tutorial.models.ple import CGC, PLE
from mtl_tutorial.models.single_task import SingleTask
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.parameters import dense_parameters
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

FUNNEL = [Task("click"), Task("cart"), Task("purchase")]


def seeded(build):
    torch.manual_seed(0)
    return build()


# --- gates ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("model", [MMoE, OMoE, CGC, PLE])
def test_gate_weights_sum_to_one(model, mixed_table, mixed_tasks):
    table = mixed_table(30)
    weights = seeded(lambda: model(table.schema, mixed_tasks)).gate_weights(table.inputs)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(30, 1 if model is OMoE else 3))


@pytest.mark.parametrize("model", [MMoE, CGC, PLE])
def test_gates_of_an_untrained_model_differ_between_tasks(model, mixed_table, mixed_tasks):
    table = mixed_table(30)
    weights = seeded(lambda: model(table.schema, mixed_tasks)).gate_weights(table.inputs)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (weights[:, first] - weights[:, second]).abs().mean() > 0.01


def test_gate_weights_differ_between_rows(mixed_table, mixed_tasks):
    table = mixed_table(30)
    weights = seeded(lambda: MMoE(table.schema, mixed_tasks)).gate_weights(table.inputs)
    assert (weights.std(0) > 0.005).all()


def test_experts_differ_at_the_start(mixed_table, mixed_tasks):
    table = mixed_table(30)
    model = seeded(lambda: MMoE(table.schema, mixed_tasks, experts=4))
    outputs = model.experts(model.encoder(table.inputs))                # [B, E, H]
    for first in range(4):
        for second in range(first):
            assert (outputs[:, first] - outputs[:, second]).abs().mean() > 0.05


def own_experts_gradient(model, table, task):
    """Return how much a task's outputs depend on each task's own experts, per level: [levels, T]."""
    outputs = model(table.inputs)[task]
    weights = [level.experts.layers[0].weight for level in model.levels]
    gradients = torch.autograd.grad(outputs.sum(), weights, materialize_grads=True)
    found = []
    for level, gradient in zip(model.levels, gradients, strict=True):
        found.append([gradient[t * level.own:(t + 1) * level.own].abs().sum().item() for t in range(level.tasks)])
    return torch.tensor(found)


@pytest.mark.parametrize("task", range(3))
def test_cgc_keeps_each_task_from_the_others_own_experts(task, mixed_table, mixed_tasks):
    table = mixed_table(30)
    model = seeded(lambda: CGC(table.schema, mixed_tasks))
    seen = own_experts_gradient(model, table, mixed_tasks[task].name)[0]
    assert seen[task] > 0
    assert seen.count_nonzero() == 1


@pytest.mark.parametrize("task", range(3))
def test_ple_lets_tasks_meet_below_the_last_level_only(task, mixed_table, mixed_tasks):
    table = mixed_table(30)
    model = seeded(lambda: PLE(table.schema, mixed_tasks, levels=2))
    first, last = own_experts_gradient(model, table, mixed_tasks[task].name)
    assert last.count_nonzero() == 1
    assert last[task] > 0
    assert first.count_nonzero() == 3       # through the shared vector, which reads every expert


def test_every_parameter_of_ple_is_trained(mixed_table, mixed_tasks):
    table = mixed_table(30)
    model = seeded(lambda: PLE(table.schema, mixed_tasks, levels=3))
    sum(output.sum() for output in model(table.inputs).values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


# --- single task ---------------------------------------------------------------------------------------------

def part_of(model, task):
    """Return the parameters of one of two networks of a SingleTask model."""
    dim = model.encoders.embedding.table.weight.shape[1] // 2
    banks = [*model.bodies.parameters(), *model.towers.hidden.parameters()]
    return [model.encoders.embedding.table.weight[:, task * dim:(task + 1) * dim],
            *(parameter[task] for parameter in banks), model.towers.weight[task], model.towers.bias[task]]


@pytest.mark.parametrize("task", [0, 1])
def test_tasks_trained_side_by_side_are_as_if_trained_alone(task, mixed_table, mixed_tasks):
    table, tasks = mixed_table(150, dtype=torch.float64), [mixed_tasks[0], mixed_tasks[2]]
    together = seeded(lambda: SingleTask(table.schema, tasks).double())
    alone = SingleTask(table.schema, tasks[task:task + 1]).double()
    with torch.no_grad():
        for mine, theirs in zip([alone.encoders.embedding.table.weight, *alone.bodies.parameters(),
                                 *alone.towers.hidden.parameters(), alone.towers.weight, alone.towers.bias],
                                part_of(together, task), strict=True):
            mine.copy_(theirs.reshape(mine.shape))
    knobs = {"epochs": 5, "batch_size": 32, "lr": 0.01, "device": "cpu"}
    fit(together, table, tasks, **knobs)
    fit(alone, table, tasks[task:task + 1], **knobs)
    name = tasks[task].name
    torch.testing.assert_close(together(table.inputs)[name], alone(table.inputs)[name], rtol=0, atol=1e-10)


# --- ESMM ----------------------------------------------------------------------------------------------------

def test_product_logit_equals_the_naive_formula():
    first, second = torch.randn(2, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4
    first.requires_grad_()
    second.requires_grad_()
    naive = torch.logit(first.sigmoid() * second.sigmoid())
    found = product_logit(first, second)
    torch.testing.assert_close(found, naive, rtol=0, atol=1e-10)
    for one, other in zip(torch.autograd.grad(found.sum(), (first, second)),
                          torch.autograd.grad(naive.sum(), (first, second)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("first", "second", "expected"), [
    (-200.0, -300.0, -500.0),           # p = e^−200 · e^−300: log p is the logit
    (-200.0, 300.0, -200.0),            # the sure one drops out
    (300.0, 200.0, 200.0),              # 1 − p = e^−300 + e^−200: the smaller decides
    (400.0, 400.0, 400.0 - 0.6931472),
    (0.0, 0.0, -1.0986123),             # p = 1/4
])
def test_product_logit_stays_exact_where_the_naive_formula_overflows(first, second, expected):
    pair = torch.tensor([[first], [second]], requires_grad=True)
    found = product_logit(*pair)
    found.sum().backward()
    assert found.item() == pytest.approx(expected, rel=1e-6)
    assert pair.grad.isfinite().all()
    assert (pair.grad >= 0).all()


def test_esmm_losses_are_cross_entropies_of_the_probabilities():
    click_logit, conversion_logit = torch.randn(2, 50, generator=torch.Generator().manual_seed(0),
                                                dtype=torch.float64)
    click = (torch.arange(50) % 2).double()
    purchase = (torch.arange(50) % 4 == 1).double()
    expected = torch.stack([
        F.binary_cross_entropy(click_logit.sigmoid(), click),
        F.binary_cross_entropy(click_logit.sigmoid() * conversion_logit.sigmoid(), purchase)])
    torch.testing.assert_close(esmm_losses(click_logit, conversion_logit, click, purchase), expected)


def test_esmm_learns_conversion_without_a_conversion_label():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 2, generator=generator)
    chance_click, chance_conversion = (x[:, 0] - 0.5).sigmoid(), (2 * x[:, 1]).sigmoid()
    click = torch.rand(4000, generator=generator) < chance_click
    purchase = click & (torch.rand(4000, generator=generator) < chance_conversion)
    table = Table.from_features(x, targets={"click": click.float(), "purchase": purchase.float()})
    model = seeded(lambda: ESMM(table.schema, widths=(16,), tower=()))
    fit(model, table, [Task("click"), Task("purchase")], epochs=15, batch_size=200, lr=0.01, device="cpu")
    found = predict(model, table, [Task("conversion")])["conversion"]
    assert (found - chance_conversion).abs().mean() < 0.06


# --- AITM ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("changed", range(3))
def test_aitm_passes_information_forward_only(changed, mixed_table):
    table = mixed_table(20)
    model = seeded(lambda: AITM(table.schema, FUNNEL, widths=(8,)))
    before = model(table.inputs)
    with torch.no_grad():
        model.bodies.layers[0].weight[changed] += 1.0
    after = model(table.inputs)
    for step, task in enumerate(FUNNEL):
        assert torch.equal(before[task.name], after[task.name]) == (step < changed)


def test_aitm_penalty_is_what_a_later_step_exceeds_the_earlier_one_by():
    model = AITM(Schema((), 1, 1), FUNNEL, calibration=0.6)
    click, cart, purchase = torch.tensor([[0.5, 0.2], [0.7, 0.1], [0.1, 0.4]])      # two rows
    outputs = {"click": click.logit(), "cart": cart.logit(), "purchase": purchase.logit()}
    assert model.penalty(outputs).item() == pytest.approx(0.6 * ((0.7 - 0.5) + (0.4 - 0.1)) / 2)
    ordered = {"click": cart.logit(), "cart": torch.full((2,), -9.0), "purchase": torch.full((2,), -9.5)}
    assert model.penalty(ordered).item() == 0


def test_training_heeds_the_penalty():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=generator)
    table = Table.from_features(x, targets={"click": torch.zeros(400), "purchase": torch.ones(400)})   # absurd
    tasks = [Task("click"), Task("purchase")]
    excess = {}
    for weight in (0.0, 20.0):
        model = seeded(lambda weight=weight: AITM(table.schema, tasks, widths=(8,), calibration=weight))
        fit(model, table, tasks, epochs=20, batch_size=100, lr=0.01, device="cpu")
        found = predict(model, table, tasks)
        excess[weight] = (found["purchase"] - found["click"]).mean()
    assert excess[0.0] > 0.8
    assert excess[20.0] < 0.2


def test_aitm_is_for_binary_tasks():
    with pytest.raises(ValueError, match="AITM is a chain of binary tasks; 'spend' is regression"):
        AITM(Schema((), 1, 1), [Task("click"), Task("spend", "regression")])


# --- sizes and learning --------------------------------------------------------------------------------------

def test_dense_parameters_leave_embedding_tables_out():
    model = BehaviourModel(users=100, items=50, profiles=3, dim=4, hidden=8)
    assert dense_parameters(model) == 50 + (12 * 8 + 8) + (8 * 3 + 3) + (4 * 3 + 3)


def test_dense_parameters_of_a_stack_are_those_of_one_model(mixed_table, mixed_tasks):
    schema = mixed_table(5).schema
    model = MMoE(schema, mixed_tasks)
    expected = sum(p.numel() for p in model.parameters()) - 9 * 8
    assert dense_parameters(model) == dense_parameters(Stacked([model, MMoE(schema, mixed_tasks)])) == expected


def test_dense_parameters_leave_frozen_ones_out():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    assert dense_parameters(model) == 3


@pytest.mark.parametrize("model", [SingleTask, MMoE, OMoE, CGC, PLE])
def test_architecture_learns_every_kind_of_task(model, mixed_table, mixed_tasks):
    train, test = mixed_table(1500), mixed_table(600, seed=1)
    network = seeded(lambda: model(train.schema, mixed_tasks))
    fit(network, train, mixed_tasks, epochs=12, batch_size=100, lr=0.01, device="cpu")
    found = predict(network, test, mixed_tasks)
    assert auc(test.targets["click"], found["click"]) > 0.9
    assert (found["segment"].argmax(-1) == test.targets["segment"]).float().mean() > 0.9
    spend = test.targets["spend"][test.mask("spend")]
    assert (found["spend"][test.mask("spend")] - spend).square().mean() < 0.15 * spend.var()
