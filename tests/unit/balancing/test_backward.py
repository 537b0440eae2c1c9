"""The gradients that an aggregator leaves, against K backward passes and one dense matrix."""

import pytest
import torch

from mtl_tutorial.balancing.aggregator import Aggregator
from mtl_tutorial.balancing.cagrad import CAGrad
from mtl_tutorial.balancing.infinity_norm import InfinityNormLimit
from mtl_tutorial.balancing.jacobian import Jacobian
from mtl_tutorial.balancing.mgda import MGDA
from mtl_tutorial.balancing.pcgrad import PCGrad
from mtl_tutorial.balancing.scalarizer import Sum
from mtl_tutorial.data.table import Table
from mtl_tutorial.models.aitm import AITM
from mtl_tutorial.models.mmoe import MMoE
from mtl_tutorial.models.ple import PLE
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task, losses
from mtl_tutorial.training import fit


class Ordered(PCGrad):
    """PCGrad that always meets the others from first to last."""

    def weights(self, gramian, orders=None):
        return super().weights(gramian, torch.arange(gramian.shape[-1]).expand_as(gramian))


METHODS = {"PCGrad": Ordered, "MGDA": MGDA, "CAGrad": CAGrad,
           "infinity norm": lambda at: InfinityNormLimit(0.02, at)}


def of_dense(method, matrix):
    """Return what a method makes of the dense Jacobian [K, P], as one vector [P]."""
    return method(Jacobian([[row] for row in matrix])) @ matrix


def is_tower(name):
    return "towers" in name.split(".")


def flat(tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def gradients_of(loss, tensors):
    return torch.autograd.grad(loss, tensors, retain_graph=True, materialize_grads=True)


def by_plain_loop(method, model, tasks, batch):
    """Return name -> gradient by one backward pass per task over all parameters."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    shared = [p for name, p in zip(names, parameters, strict=True) if not is_tower(name)]
    outputs = model(batch.inputs)
    by_task = losses(tasks, outputs, batch)
    if method.at == "parameters":
        matrix = torch.stack([flat(gradients_of(loss, shared)) for loss in by_task])
        combined = of_dense(method, matrix).split([p.numel() for p in shared])
    else:
        vector = model.represent(batch.inputs)
        by_task_there = losses(tasks, model.read(vector), batch)
        matrix = torch.stack([flat(gradients_of(loss, [vector])) for loss in by_task_there])
        combined = torch.autograd.grad(vector, shared, of_dense(method, matrix).reshape(vector.shape))
    found = dict(zip([name for name in names if not is_tower(name)], combined, strict=True))
    towers = [name for name in names if is_tower(name)]
    own = gradients_of(sum(by_task), [model.get_parameter(name) for name in towers])
    found |= dict(zip(towers, own, strict=True))
    if hasattr(model, "penalty"):
        extra = gradients_of(model.penalty(outputs), parameters)
        found = {name: found[name].reshape(p.shape) + extra[n]
                 for n, (name, p) in enumerate(zip(names, parameters, strict=True))}
    return {name: gradient.reshape(model.get_parameter(name).shape) for name, gradient in found.items()}


def assert_same_gradients(found, expected, rtol=1e-9, atol=1e-12):
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=rtol, atol=atol,
                                   msg=lambda text, n=name: f"{n}: {text}")


def conflicting(model, tasks, batch):
    """Return how many pairs of tasks conflict: without one, PCGrad would be the plain sum."""
    shared = [p for name, p in model.named_parameters() if not is_tower(name)]
    matrix = torch.stack([flat(gradients_of(loss, shared)) for loss in losses(tasks, model(batch.inputs), batch)])
    return ((matrix @ matrix.T) < 0).sum().item() // 2


BUILDERS = {
    "SharedBottom": lambda table, tasks: SharedBottom(table.schema, tasks, widths=(16, 8)),
    "MMoE": lambda table, tasks: MMoE(table.schema, tasks, experts=3),
    "PLE": lambda table, tasks: PLE(table.schema, tasks, own=1, shared=1),
}


def build(name, table, tasks, seed=0):
    torch.manual_seed(seed)
    return BUILDERS[name](table, tasks).double()


@pytest.fixture
def batch(mixed_table):
    return mixed_table(60, dtype=torch.float64)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "at"), [("SharedBottom", "parameters"), ("SharedBottom", "representation"),
                                          ("MMoE", "parameters"), ("PLE", "parameters")])
def test_gradients_are_those_of_a_plain_loop_over_the_tasks(method, name, at, batch, mixed_tasks):
    method = METHODS[method](at=at)
    model = build(name, batch, mixed_tasks)
    expected = by_plain_loop(method, model, mixed_tasks, batch)
    found = method.backward(model, mixed_tasks, batch)
    assert not found.requires_grad
    torch.testing.assert_close(found, losses(mixed_tasks, model(batch.inputs), batch).detach())
    assert_same_gradients({name: p.grad for name, p in model.named_parameters()}, expected)
    assert conflicting(model, mixed_tasks, batch) > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("at", ["parameters", "representation"])
def test_each_repeat_of_a_stack_gets_its_gradients_as_if_alone(method, at, mixed_table, mixed_tasks):
    tables = [mixed_table(60, seed=seed, dtype=torch.float64) for seed in range(3)]
    models = [build("SharedBottom", tables[0], mixed_tasks, seed) for seed in range(3)]
    stacked = Stacked(models)
    METHODS[method](at=at).backward(stacked, mixed_tasks, Table.stack(tables))
    found = {name.removeprefix("weights.").replace("/", "."): p.grad for name, p in stacked.named_parameters()
             if p.requires_grad}
    for repeat, (model, table) in enumerate(zip(models, tables, strict=True)):
        METHODS[method](at=at).backward(model, mixed_tasks, table)
        assert_same_gradients({name: gradient[repeat] for name, gradient in found.items()},
                              {name: p.grad for name, p in model.named_parameters()}, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("at", ["parameters", "representation"])
@pytest.mark.parametrize("method", METHODS)
def test_each_tower_moves_along_the_gradient_of_its_own_task_unweighted(method, at, batch, mixed_tasks):
    model, plain = (build("SharedBottom", batch, mixed_tasks) for _ in range(2))
    METHODS[method](at=at).backward(model, mixed_tasks, batch)
    Sum().backward(plain, mixed_tasks, batch)
    towers = {name: p.grad for name, p in plain.named_parameters() if is_tower(name)}
    assert_same_gradients({name: p.grad for name, p in model.named_parameters()}, towers)
    assert (model.body.layers[0].weight.grad - plain.body.layers[0].weight.grad).norm() > 1e-3


@pytest.mark.parametrize("at", ["parameters", "representation"])
def test_even_weights_leave_the_gradient_of_the_sum(at, batch, mixed_tasks):
    class Even(Aggregator):
        def weights(self, gramian):
            return torch.ones_like(gramian[..., 0])

    model, plain = (build("SharedBottom", batch, mixed_tasks) for _ in range(2))
    Even(at=at).backward(model, mixed_tasks, batch)
    Sum().backward(plain, mixed_tasks, batch)
    assert_same_gradients({name: p.grad for name, p in model.named_parameters()},
                          {name: p.grad for name, p in plain.named_parameters()})


def funnel(table):
    """Return tasks and rows in which no click is a purchase: a chain that AITM's penalty objects to."""
    click = table.targets["click"]
    return [Task("click"), Task("purchase")], table.with_targets({"click": click, "purchase": 1 - click})


@pytest.mark.parametrize("method", METHODS)
def test_penalty_of_a_model_is_added_as_it_is(method, batch):
    tasks, rows = funnel(batch)
    torch.manual_seed(0)
    model = AITM(rows.schema, tasks, calibration=3.0).double()
    assert model.penalty(model(rows.inputs)) > 0.01
    method = METHODS[method](at="parameters")
    expected = by_plain_loop(method, model, tasks, rows)
    method.backward(model, tasks, rows)
    assert_same_gradients({name: p.grad for name, p in model.named_parameters()}, expected)


def test_penalties_of_a_stack_are_those_of_its_models(batch):
    tasks, rows = funnel(batch)
    models = []
    for seed in range(2):
        torch.manual_seed(seed)
        models.append(AITM(rows.schema, tasks, calibration=3.0).double())
    stacked = Stacked(models)
    Ordered().backward(stacked, tasks, rows.repeat(2))
    for repeat, model in enumerate(models):
        Ordered().backward(model, tasks, rows)
        assert_same_gradients({name: stacked.weights[name.replace(".", "/")].grad[repeat]
                               for name, _ in model.named_parameters()},
                              {name: p.grad for name, p in model.named_parameters()})


def test_penalty_counts_at_the_representation_too(batch, mixed_tasks):
    class Penalised(SharedBottom):
        def penalty(self, outputs):
            return outputs["click"].square().mean()

    torch.manual_seed(0)
    model = Penalised(batch.schema, mixed_tasks, widths=(8,)).double()
    method = Ordered(at="representation")
    expected = by_plain_loop(method, model, mixed_tasks, batch)
    method.backward(model, mixed_tasks, batch)
    assert_same_gradients({name: p.grad for name, p in model.named_parameters()}, expected)


@pytest.mark.parametrize("stack", [False, True])
def test_model_without_one_vector_for_all_towers_is_told_to_use_the_parameters(stack, batch, mixed_tasks):
    model = build("MMoE", batch, mixed_tasks)
    rows = batch
    if stack:
        model, rows = Stacked([model, model]), batch.repeat(2)
    with pytest.raises(TypeError, match=r"MMoE offers no single vector .*: use at='parameters'"):
        MGDA(at="representation").backward(model, mixed_tasks, rows)


@pytest.mark.parametrize("at", ["parameters", "representation"])
@pytest.mark.parametrize("repeats", [None, 2])
def test_bfloat16_leaves_gradients_in_float32_near_those_of_float32(at, repeats, mixed_table, mixed_tasks):
    table = mixed_table(300)
    found = {}
    for bf16 in (False, True):
        torch.manual_seed(0)
        models = [SharedBottom(table.schema, mixed_tasks, widths=(16, 8)) for _ in range(repeats or 1)]
        model, rows = (Stacked(models), table.repeat(repeats)) if repeats else (models[0], table)
        Ordered(at=at).backward(model, mixed_tasks, rows, bf16=bf16)
        gradients = [p.grad for p in model.parameters() if p.requires_grad]
        assert all(gradient.dtype == torch.float32 for gradient in gradients)
        found[bf16] = flat(gradients)
    assert not torch.equal(found[True], found[False])
    assert (found[True] - found[False]).norm() < 0.05 * found[False].norm()


@pytest.mark.parametrize("at", ["parameters", "representation"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fit_learns_all_tasks_with_an_aggregator(method, at, precision, mixed_table, mixed_tasks):
    table = mixed_table(500)
    torch.manual_seed(0)
    model = SharedBottom(table.schema, mixed_tasks, widths=(16,))
    history = fit(model, table, mixed_tasks, METHODS[method](at=at), epochs=8, batch_size=50, lr=0.01, device="cpu",
                  precision=precision)
    assert (history.losses[-10:].mean(0) < 0.9 * history.losses[:10].mean(0)).all()


def test_frozen_parameters_get_no_gradient(batch, mixed_tasks):
    for at in ("parameters", "representation"):
        model = build("SharedBottom", batch, mixed_tasks)
        frozen = [model.encoder.embedding.table.weight, model.towers.bias]
        for parameter in frozen:
            parameter.requires_grad_(False)
        MGDA(at=at).backward(model, mixed_tasks, batch)
        assert all(parameter.grad is None for parameter in frozen)
        assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
