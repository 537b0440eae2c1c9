"""Layers against plain loops with the same weights, in float64: outputs, and gradients of weights and inputs."""

import pytest
import torch
from torch.nn import functional as F

from mtl_tutorial.layers.bank import Bank, BankLinear
from mtl_tutorial.layers.features import FusedEmbedding
from mtl_tutorial.layers.gates import mix_experts, mix_shared_and_own
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def assert_equal_with_gradients(ours, plain, sources):
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-10)
    weights = normal(*plain.shape, seed=2).detach()
    first, second = (torch.autograd.grad((out * weights).sum(), sources) for out in (ours, plain))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
        assert other.abs().sum() > 0


@pytest.mark.parametrize("rows", [7, 1])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_bank_linear_equals_one_linear_layer_per_member(shared, bias, rows):
    torch.manual_seed(0)
    bank = BankLinear(3, 4, 5, bias).double()
    x = normal(rows, 4) if shared else normal(rows, 3, 4)
    plain = torch.stack([F.linear(x if shared else x[:, member], bank.weight[member].T,
                                  bank.bias[member] if bias else None) for member in range(3)], 1)
    assert_equal_with_gradients(bank(x), plain, [x, *bank.parameters()])


def test_members_of_a_bank_start_as_torch_linear_layers_do():
    bound = 1 / 64**0.5
    layer = BankLinear(50, 64, 32)
    for parameter in (layer.weight, layer.bias):
        assert parameter.abs().max() <= bound
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert not torch.equal(layer.weight[0], layer.weight[1])


@pytest.mark.parametrize("shape", [(7, 4), (7, 1, 4), (7, 3, 4), (1, 4), (1, 3, 4)])
@pytest.mark.parametrize("widths", [(5,), (6, 5), ()])
def test_bank_equals_its_members_one_by_one(shape, widths):
    torch.manual_seed(0)
    bank = Bank(3, 4, widths).double()
    x = normal(*shape)
    plain = []
    for member in range(3):
        vector = x if x.dim() == 2 else x[:, 0 if x.shape[1] == 1 else member]
        for layer in bank.layers:
            vector = F.relu(F.linear(vector, layer.weight[member].T, layer.bias[member]))
        plain.append(vector)
    assert bank.width == (widths or (4,))[-1]
    assert_equal_with_gradients(bank(x), torch.stack(plain, 1), [x, *bank.parameters()])


@pytest.mark.parametrize("rows", [9, 1])
def test_fused_embedding_equals_one_embedding_per_field(rows):
    cardinalities = (3, 5, 1)
    torch.manual_seed(0)
    fused = FusedEmbedding(cardinalities, 4).double()
    ids = torch.stack([torch.arange(rows) * 2 % size for size in cardinalities], 1)
    tables = fused.table.weight.split(list(cardinalities))
    plain = torch.stack([F.embedding(ids[:, field], table) for field, table in enumerate(tables)], 1)
    assert_equal_with_gradients(fused(ids), plain, [fused.table.weight])


def test_the_last_id_of_a_field_and_the_first_of_the_next_differ():
    fused = FusedEmbedding((3, 3), 2)
    last_of_first = fused(torch.tensor([[2, 0]]))[0, 0]
    first_of_second = fused(torch.tensor([[2, 0]]))[0, 1]
    assert not torch.equal(last_of_first, first_of_second)
    assert torch.equal(last_of_first, fused.table.weight[2])
    assert torch.equal(first_of_second, fused.table.weight[3])


@pytest.mark.parametrize("x_shape", [(7, 1, 4), (7, 3, 4), (1, 3, 4)])
@pytest.mark.parametrize("widths", [(5,), ()])
@pytest.mark.parametrize("kinds", [(None, None, None), (None, 4, None), (3, 2, 5)])
def test_towers_equal_one_small_network_per_task(kinds, widths, x_shape):
    tasks = [Task(f"t{n}", "multiclass" if classes else "binary", classes) for n, classes in enumerate(kinds)]
    torch.manual_seed(0)
    towers = Towers(tasks, 4, widths).double()
    torch.nn.init.normal_(towers.bias)
    x = normal(*x_shape)
    start, plain = 0, {}
    for number, task in enumerate(tasks):
        vector = x[:, 0 if x.shape[1] == 1 else number]
        for layer in towers.hidden.layers:
            vector = F.relu(F.linear(vector, layer.weight[number].T, layer.bias[number]))
        rows = slice(start, start + task.outputs)
        plain[task.name] = F.linear(vector, towers.weight[rows], towers.bias[rows])
        start += task.outputs
    ours = towers(x)
    for task in tasks:
        assert ours[task.name].shape == ((x_shape[0], task.classes) if task.classes else (x_shape[0],))
    flat = torch.cat([ours[task.name].reshape(x_shape[0], -1) for task in tasks], 1)
    assert_equal_with_gradients(flat, torch.cat(list(plain.values()), 1), [x, *towers.parameters()])


def test_mix_experts_equals_a_loop_over_rows_tasks_and_experts():
    outputs, logits = normal(6, 4, 3), normal(6, 2, 4, seed=3)
    weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
    plain = torch.stack([torch.stack([sum(weights[b, t, e] * outputs[b, e] for e in range(4)) for t in range(2)])
                         for b in range(6)])
    assert_equal_with_gradients(mix_experts(outputs, logits), plain, [outputs, logits])


def test_mix_shared_and_own_equals_a_loop_over_rows_and_tasks():
    shared, own, logits = normal(5, 3, 4), normal(5, 2, 2, 4, seed=3), normal(5, 2, 5, seed=4)
    rows = []
    for b in range(5):
        for t in range(2):
            weights = logits[b, t].exp() / logits[b, t].exp().sum()
            rows.append(sum(w * expert for w, expert in zip(weights, [*own[b, t], *shared[b]], strict=True)))
    plain = torch.stack(rows).unflatten(0, (5, 2))
    assert_equal_with_gradients(mix_shared_and_own(shared, own, logits), plain, [shared, own, logits])
