"""FedAvg against plain training: of one client, of the pool, and client by client in a loop."""

import copy

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from mtl_tutorial.data.table import Table
from mtl_tutorial.fusion.clients import Clients
from mtl_tutorial.fusion.fed_avg import FedAvg
from mtl_tutorial.fusion.fed_prox import FedProx
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task

CLICK = [Task("click")]
LR = 0.3


def rows_of(rows, seed, dtype=torch.float64, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    numeric = torch.randn(rows, 3, generator=generator, dtype=dtype) + shift
    ids = torch.randint(5, (rows, 2), generator=generator)
    label = (numeric[:, 0] + ids[:, 0] - 2 + torch.randn(rows, generator=generator, dtype=dtype) > 0).to(dtype)
    return Table(ids, (5, 5), numeric, targets={"click": label})


def network(table, dtype=torch.float64):
    torch.manual_seed(0)
    return SharedBottom(table.schema, CLICK, dim=2, widths=(6,), tower=()).to(dtype)


def sgd(model, batches, penalty=lambda model: 0.0):
    """Plain training: one model, one torch optimiser, a loss by hand."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    for batch in batches:
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(model(batch.inputs)["click"], batch.targets["click"])
        (loss + penalty(model)).backward()
        optimizer.step()
    return model


def assert_equal(stack, model, atol):
    for name, value in model.named_parameters():
        torch.testing.assert_close(stack.named_weights[name][0], value, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_client_is_plain_training_bit_for_bit(dtype):
    """Both run the stack of one, on the same rows in the same order; the server's rounds must leave no trace."""
    table = rows_of(40, 1, dtype)
    clients, plain = Clients.of([[table]]), Stacked([network(table, dtype)])
    fed = FedAvg(Stacked([network(table, dtype)]), lr=LR, local_steps=5, batch_size=8)
    fed.fit(clients, CLICK, rounds=6, seed=3)
    draw = torch.Generator().manual_seed(3)
    optimizer = torch.optim.SGD(plain.weights.parameters(), lr=LR)
    for _ in range(5 * 6):
        batch = table.take((torch.rand(1, 8, generator=draw, dtype=torch.float64) * 40).long()[0])
        optimizer.zero_grad()
        inputs = Table.stack([batch]).inputs
        binary_cross_entropy_with_logits(plain(inputs)["click"][0], batch.targets["click"]).backward()
        optimizer.step()
    for name, value in plain.named_weights.items():
        assert torch.equal(fed.model.named_weights[name], value), name


def test_equal_iid_clients_with_one_full_batch_step_are_sgd_on_the_pool():
    parts = [rows_of(25, seed) for seed in range(4)]
    pool = Table.join(parts)
    fed = FedAvg(Stacked([network(pool)]), lr=LR).fit(Clients.of([parts]), CLICK, rounds=20)
    assert_equal(fed.model, sgd(network(pool), [pool] * 20), atol=1e-12)


def test_unequal_skewed_clients_with_one_full_batch_step_are_sgd_on_the_pool_too():
    parts = [rows_of(rows, seed, shift=seed - 1.0) for seed, rows in enumerate((40, 5, 17))]
    pool = Table.join(parts)
    fed = FedAvg(Stacked([network(pool)]), lr=LR).fit(Clients.of([parts]), CLICK, rounds=20)
    assert_equal(fed.model, sgd(network(pool), [pool] * 20), atol=1e-12)


def test_several_local_steps_on_skewed_rows_are_not():
    parts = [rows_of(30, seed, shift=2.0 * seed - 2) for seed in range(3)]
    pool = Table.join(parts)
    fed = FedAvg(Stacked([network(pool)]), lr=LR, local_steps=10).fit(Clients.of([parts]), CLICK, rounds=2)
    plain = sgd(network(pool), [pool] * 20)
    apart = max((fed.model.named_weights[name][0] - value).abs().max().item()
                for name, value in plain.named_parameters())
    assert apart > 1e-2


@pytest.mark.parametrize("mu", [0.0, 0.5])
def test_rounds_are_those_of_a_loop_over_clients(mu):
    parts = [rows_of(rows, seed, shift=seed - 1.0) for seed, rows in enumerate((40, 5, 17))]
    fed = FedProx(Stacked([network(parts[0])]), mu=mu, lr=LR, local_steps=7)
    fed.fit(Clients.of([parts]), CLICK, rounds=3)
    common = network(parts[0])
    for _ in range(3):
        sent = [value.detach().clone() for value in common.parameters()]

        def proximal(model, sent=sent):
            return mu / 2 * sum((value - begin).square().sum()
                                for value, begin in zip(model.parameters(), sent, strict=True))
        trained = [sgd(copy.deepcopy(common), [part] * 7, proximal) for part in parts]
        with torch.no_grad():
            for value, *own in zip(common.parameters(), *(model.parameters() for model in trained), strict=True):
                value.copy_(sum(len(part) * one for part, one in zip(parts, own, strict=True)) / 62)
    assert_equal(fed.model, common, atol=1e-12)


def test_fed_prox_without_pull_is_fed_avg():
    parts = [rows_of(rows, seed, shift=seed - 1.0) for seed, rows in enumerate((40, 5, 17))]
    clients = Clients.of([parts])
    one = FedAvg(Stacked([network(parts[0])]), lr=LR, local_steps=4, batch_size=6).fit(clients, CLICK, 5, seed=2)
    other = FedProx(Stacked([network(parts[0])]), mu=0.0, lr=LR, local_steps=4, batch_size=6)
    other.fit(clients, CLICK, 5, seed=2)
    for name, value in one.model.named_weights.items():
        assert torch.equal(value, other.model.named_weights[name]), name
