"""The pieces of the models in plain loops over fields, experts and tasks, and what is compared with them."""

import torch
from torch.nn import functional as F

from mtl_tutorial.data.table import Inputs

DIM = 3


def encode(encoder, schema, inputs, copy=0):
    """Look up field by field; of an encoder with copies, the copy's own columns."""
    columns, start = [], 0
    for field, size in enumerate(schema.cardinalities):
        own_table = encoder.embedding.table.weight[start:start + size, copy * DIM:(copy + 1) * DIM]
        columns.append(F.embedding(inputs.categorical[:, field], own_table))
        start += size
    return torch.cat([*columns, inputs.numeric], 1)


def expert(bank, member, x):
    for layer in bank.layers:
        x = F.relu(F.linear(x, layer.weight[member].T, layer.bias[member]))
    return x


def gate(layer, member, x):
    assert layer.bias is None
    return F.softmax(F.linear(x, layer.weight[member].T), dim=1)


def mix(weights, experts):
    return sum(weights[:, number:number + 1] * output for number, output in enumerate(experts))


def tower(towers, tasks, number, x):
    start = sum(task.classes or 1 for task in tasks[:number])
    rows = slice(start, start + (tasks[number].classes or 1))
    output = F.linear(expert(towers.hidden, number, x), towers.weight[rows], towers.bias[rows])
    return output if tasks[number].classes else output[:, 0]


def each_tower(towers, tasks, vectors):
    return {task.name: tower(towers, tasks, t, vectors[t]) for t, task in enumerate(tasks)}


def draw_inputs(schema, rows):
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(size, (rows,), generator=generator) for size in schema.cardinalities]
    return Inputs(torch.stack(ids, 1) if ids else torch.zeros(rows, 0, dtype=torch.long),
                  torch.randn(rows, schema.numeric, generator=generator, dtype=torch.float64),
                  torch.randint(schema.scenarios, (rows,), generator=generator))


def assert_equal_outputs_and_gradients(model, ours, plain):
    """Outputs, and the gradients of a loss that weighs every output differently."""
    assert ours.keys() == plain.keys()
    gradients = []
    for outputs in (ours, plain):
        generator = torch.Generator().manual_seed(2)
        loss = 0.0
        for name in sorted(outputs):
            weights = torch.randn(outputs[name].shape, generator=generator, dtype=torch.float64)
            loss = loss + (weights * outputs[name]).sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True))
    for name in plain:
        torch.testing.assert_close(ours[name], plain[name], rtol=0, atol=1e-10)
    for (name, _), first, second in zip(model.named_parameters(), *gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")
        assert second.abs().sum() > 0, f"{name} has no gradient to compare"
