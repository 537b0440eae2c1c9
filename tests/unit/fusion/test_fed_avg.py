import pytest
import torch

from mtl_tutorial.fusion.averaging import federated_average
from mtl_tutorial.fusion.clients import Clients
from mtl_tutorial.fusion.fed_avg import FedAvg, weight_bytes
from mtl_tutorial.fusion.fed_prox import FedProx
from mtl_tutorial.fusion.local_training import copies_for_clients, train_locally


def weights_of(model):
    return {name: value.detach().clone() for name, value in model.named_weights.items()}


def distance(one, other):
    return sum((one[name] - other[name]).square().sum() for name in one).sqrt().item()


def test_average_counts_clients_by_their_rows():
    found = federated_average({"w": torch.tensor([[1.0, 0.0], [5.0, 8.0]])}, torch.tensor([3, 1]))
    assert found["w"].tolist() == [2.0, 2.0]


def test_average_of_groups_is_each_groups_own():
    values, rows = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.tensor([[1, 2, 3], [4, 0, 6]])
    together = federated_average({"w": values}, rows)["w"]
    for g in (0, 1):
        assert torch.equal(together[g], federated_average({"w": values[g]}, rows[g])["w"])
    torch.testing.assert_close(together[1], (4 * values[1, 0] + 6 * values[1, 2]) / 10)


def test_average_of_one_client_is_that_client_to_the_bit():
    value = torch.randn(1, 50)
    assert torch.equal(federated_average({"w": value}, torch.tensor([7]))["w"], value[0])


def test_integers_are_not_averaged_and_dtypes_stay():
    found = federated_average({"w": torch.ones(2, 3, dtype=torch.bfloat16), "seen": torch.tensor([[4, 5], [9, 9]])},
                              torch.tensor([1, 2]))
    assert found["w"].dtype == torch.bfloat16
    assert found["seen"].tolist() == [4, 5]


@pytest.mark.parametrize(("values", "rows", "trouble"), [
    (torch.zeros(0, 2), [], "no clients"),
    (torch.zeros(2, 2), [0, 0], "not all of a group may be 0"),
    (torch.zeros(2, 2), [3, -1], "must not be negative"),
    (torch.zeros(3, 2), [1, 1], r"shape \[3, 2\], but the rows say \[2\] clients"),
    (torch.tensor([[1.0], [float("nan")]]), [1, 1], "not finite"),
])
def test_average_refuses_what_has_no_average(values, rows, trouble):
    with pytest.raises(ValueError, match=trouble):
        federated_average({"w": values}, torch.tensor(rows))


def test_rounds_lower_the_loss_of_every_group_and_groups_do_not_meet(federation, common_model, click):
    groups, clients = federation
    model, alone = common_model(groups[0][0], 2), common_model(groups[0][0], 2)
    before = weights_of(model)
    FedAvg(model, lr=0.1, local_steps=3).fit(clients, click, rounds=4)
    [second] = [copies_for_clients(alone, 1).models()[1]]
    by_itself = type(model)([second])
    FedAvg(by_itself, lr=0.1, local_steps=3).fit(Clients.of(groups[1:]), click, rounds=4)
    for name, value in model.named_weights.items():
        assert not torch.equal(value, before[name])
        torch.testing.assert_close(value[1], by_itself.named_weights[name][0], rtol=0, atol=1e-12)


def test_same_seed_gives_the_same_bits_and_another_seed_other_batches(federation, common_model, click):
    groups, clients = federation
    found = [weights_of(FedAvg(common_model(groups[0][0], 2), lr=0.1, local_steps=2, batch_size=4)
                        .fit(clients, click, rounds=3, seed=seed).model) for seed in (5, 5, 6)]
    assert distance(found[0], found[1]) == 0
    assert distance(found[0], found[2]) > 1e-3


def test_clients_that_are_not_drawn_do_not_count(federation, common_model, click):
    groups, clients = federation
    model = common_model(groups[0][0], 2)
    local = copies_for_clients(model, 3)
    train_locally(local, clients, click, steps=2, lr=0.1, batch_size=None, generator=torch.Generator())
    FedAvg(model, lr=0.1, local_steps=2, per_round=1).fit(clients, click, rounds=1, seed=3)
    for g in (0, 1):
        same = [all(torch.allclose(value[g], local.named_weights[name][3 * g + c], rtol=0, atol=1e-12)
                    for name, value in model.named_weights.items()) for c in range(3)]
        assert sum(same) == 1


def test_every_client_is_drawn_alike_often(federation, common_model):
    groups, clients = federation
    fed = FedAvg(common_model(groups[0][0], 2), lr=0.1, per_round=2)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([fed._draw(clients.rows, generator) for _ in range(3_000)]).double()
    assert (drawn.sum(-1) == 2).all()
    assert (drawn.mean(0) - 2 / 3).abs().max() < 4.5 * (2 / 9 / 3_000) ** 0.5


def test_local_training_moves_clients_apart_and_more_steps_more(federation, common_model, click):
    groups, clients = federation
    spreads = []
    for steps in (1, 20):
        local = copies_for_clients(common_model(groups[0][0], 2), 3)
        train_locally(local, clients, click, steps=steps, lr=0.1, batch_size=None, generator=torch.Generator())
        spreads.append(sum(value[:3].std(0).square().sum() for value in local.named_weights.values()).sqrt().item())
    assert spreads[1] > 5 * spreads[0] > 0


def test_traffic_counts_what_goes_up_and_down(federation, common_model, click):
    groups, clients = federation
    model = common_model(groups[0][0], 2)
    numbers = sum(p.numel() for p in model.models()[0].parameters())
    assert weight_bytes(model) == 8 * numbers
    fed = FedAvg(model, lr=0.1).fit(clients, click, rounds=4)
    assert (fed.rounds_, fed.traffic_) == (4, 2 * 4 * 3 * 8 * numbers)
    fed = FedAvg(model, lr=0.1, per_round=2).fit(clients, click, rounds=4)
    assert fed.traffic_ == 2 * 4 * 2 * 8 * numbers


def test_the_end_of_each_round_is_told(federation, common_model, click):
    groups, clients = federation
    seen = []
    fed = FedAvg(common_model(groups[0][0], 2), lr=0.1)
    fed.fit(clients, click, rounds=3, after_round=lambda: seen.append(fed.rounds_))
    assert seen == [1, 2, 3]


def test_the_pull_keeps_clients_near_what_they_were_sent(federation, common_model, click):
    groups, clients = federation
    moved = []
    for mu in (0.0, 1.0, 5.0):
        model = common_model(groups[0][0], 2)
        start = weights_of(model)
        FedProx(model, mu=mu, lr=0.1, local_steps=50).fit(clients, click, rounds=1)
        moved.append(distance(weights_of(model), start))
    assert moved[0] > 1.5 * moved[1] > 2 * moved[2] > 0


def test_one_local_step_feels_no_pull(federation, common_model, click):
    groups, clients = federation
    found = [weights_of(FedProx(common_model(groups[0][0], 2), mu=mu, lr=0.1).fit(clients, click, rounds=3).model)
             for mu in (0.0, 5.0)]
    assert distance(*found) == 0


@pytest.mark.parametrize(("settings", "trouble"), [
    ({"lr": 0.0}, "lr=0.0 must be positive"),
    ({"lr": 0.1, "local_steps": 0}, "local_steps=0"),
    ({"lr": 0.1, "batch_size": 0}, "batch_size=0"),
    ({"lr": 0.1, "per_round": 0}, "per_round=0"),
])
def test_settings_out_of_range_are_refused(federation, common_model, settings, trouble):
    groups, _ = federation
    with pytest.raises(ValueError, match=trouble):
        FedAvg(common_model(groups[0][0], 2), **settings)


def test_what_does_not_fit_together_is_refused(federation, common_model, click):
    groups, clients = federation
    model = common_model(groups[0][0], 2)
    with pytest.raises(ValueError, match="per_round=4 of only 3 clients"):
        FedAvg(model, lr=0.1, per_round=4).fit(clients, click, rounds=1)
    with pytest.raises(ValueError, match="a model of 3 groups for clients of 2"):
        FedAvg(common_model(groups[0][0], 3), lr=0.1).fit(clients, click, rounds=1)
    with pytest.raises(ValueError, match="2 models for 6 clients"):
        train_locally(model, clients, click, steps=1, lr=0.1, batch_size=None, generator=torch.Generator())
    with pytest.raises(ValueError, match="mu=-1"):
        FedProx(model, mu=-1.0, lr=0.1)
    with pytest.raises(ValueError, match="jumps over"):
        FedProx(model, mu=20.0, lr=0.1)


def test_a_rate_that_makes_weights_infinite_is_told(federation, common_model, click):
    groups, clients = federation
    with pytest.raises(ValueError, match="not finite"):
        FedAvg(common_model(groups[0][0], 2), lr=1e300, local_steps=5).fit(clients, click, rounds=3)
