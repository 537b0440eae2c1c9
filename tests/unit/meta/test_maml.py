import itertools

import pytest
import torch
from torch import nn

from mtl_tutorial.layers.task_mlp import TaskMLP
from mtl_tutorial.meta.anil import ANIL
from mtl_tutorial.meta.episodes import Episodes
from mtl_tutorial.meta.fine_tuning import FineTuning
from mtl_tutorial.meta.losses import cross_entropy, mean_over_rows, squared_error
from mtl_tutorial.meta.maml import MAML, inner_step
from mtl_tutorial.meta.memory import SavedBytes
from mtl_tutorial.meta.meta_sgd import MetaSGD
from mtl_tutorial.meta.proto_net import ProtoNet
from mtl_tutorial.meta.reptile import Reptile, reptile_update
from mtl_tutorial.meta.sinusoids import draw_sinusoids
from mtl_tutorial.models.stacked import Stacked

METHODS = (MAML, ANIL, MetaSGD, Reptile)


def sinusoids(tasks=4, shots=5, queries=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return draw_sinusoids(tasks, generator).episodes(shots, queries, generator)


def learner(method=MAML, steps=2, seed=0, **settings):
    torch.manual_seed(seed)
    return method(TaskMLP(1, (8,), 1), squared_error, 0.05, steps, **settings)


def test_inner_step_of_a_parabola_is_known():
    weights = {"w": torch.tensor([3.0], requires_grad=True)}
    moved = inner_step(weights, lambda weights: (weights["w"] ** 2).sum(), 0.1)["w"]
    assert moved.item() == pytest.approx(3 - 0.1 * 6)
    assert torch.autograd.grad(moved.sum(), weights["w"])[0].item() == pytest.approx(1 - 0.1 * 2)
    moved = inner_step(weights, lambda weights: (weights["w"] ** 2).sum(), 0.1, first_order=True)["w"]
    assert torch.autograd.grad(moved.sum(), weights["w"])[0].item() == 1


def test_inner_step_leaves_a_weight_alone_that_the_loss_does_not_read():
    weights = {name: torch.ones(2, requires_grad=True) for name in ("read", "unread")}
    moved = inner_step(weights, lambda weights: weights["read"].sum(), 0.1)
    assert moved["read"].tolist() == pytest.approx([0.9, 0.9])
    assert moved["unread"].tolist() == [1, 1]


@pytest.mark.parametrize("method", METHODS)
def test_adaptation_lowers_the_support_loss_of_every_task(method):
    episodes, own = sinusoids(), learner(method)
    on_support = episodes._replace(query_x=episodes.support_x, query_y=episodes.support_y)
    losses = own.trajectory(on_support, 20)
    assert losses.shape == (21, 4)
    assert (losses[-1] < losses[0]).all()


@pytest.mark.parametrize("method", METHODS)
def test_without_gradients_it_adapts_to_the_same_weights_and_keeps_no_graph(method):
    episodes, own = sinusoids(), learner(method)
    with torch.no_grad():
        plain = own.adapt(*episodes.support)
    tracked = own.adapt(*episodes.support)
    for name, value in plain.items():
        assert not value.requires_grad
        torch.testing.assert_close(value, tracked[name].detach())
    assert own.adapt(*episodes.support)["head.weight"].requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_tasks_do_not_hear_of_one_another(method):
    episodes, own = sinusoids(), learner(method)
    together = own.adapt(*episodes.support)
    for task in range(4):
        alone = own.adapt(*episodes.take(slice(task, task + 1)).support)
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][task])


def test_query_rows_have_no_influence_on_adaptation():
    episodes, own = sinusoids(), learner()
    outputs = own.predict(own.adapt(*episodes.support), episodes.query_x)
    fewer = own.predict(own.adapt(*episodes.support), episodes.query_x[:, :2])
    torch.testing.assert_close(outputs[:, :2], fewer)


def test_trajectory_begins_at_the_start_and_passes_the_training_loss():
    episodes, own = sinusoids(), learner(steps=3)
    losses = own.trajectory(episodes, 5)
    torch.testing.assert_close(losses[3], own(episodes).detach())
    torch.testing.assert_close(losses[0], (own.model(episodes.query_x) - episodes.query_y).square().mean((1, 2)))
    assert own.trajectory(episodes).shape == (4, 4)
    with torch.no_grad():
        assert not any(value.requires_grad for weights in list(own.path(*episodes.support))
                       for value in weights.values())


def test_rows_that_do_not_count_have_no_influence_on_the_adapted_weights():
    episodes, own = sinusoids(shots=5), learner()
    mask = torch.tensor([[True, True, True, False, False]] * 4)
    spoiled = episodes.support_y.clone()
    spoiled[:, 3:] = 1e6
    padded = own.adapt(episodes.support_x, spoiled, mask)
    short = own.adapt(episodes.support_x[:, :3], episodes.support_y[:, :3])
    for name, value in short.items():
        torch.testing.assert_close(padded[name], value)


def test_a_masked_mean_does_not_see_the_losses_of_other_rows():
    losses = torch.tensor([[1.0, 3.0, torch.nan], [torch.inf, 4.0, 6.0]])
    rows = torch.tensor([[True, True, False], [False, True, True]])
    assert mean_over_rows(losses, rows).tolist() == [2, 5]


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("method", [*METHODS, FineTuning, ProtoNet])
def test_nan_in_rows_that_do_not_count_reaches_neither_adapted_weights_nor_gradients(method, stacked):
    """Tasks with NaN in the last row of support and query, against the same tasks without these rows."""
    def build():
        torch.manual_seed(0)
        model = Stacked([TaskMLP(1, (8,), 2) for _ in range(2)]) if stacked else TaskMLP(1, (8,), 2)
        return ProtoNet(model, 2) if method is ProtoNet else method(model, cross_entropy, 0.1, 2)

    draw = torch.Generator().manual_seed(0)
    short = Episodes(torch.randn(4, 2, 1, generator=draw), torch.tensor([[0, 1]] * 4),
                     torch.randn(4, 3, 1, generator=draw), torch.randint(2, (4, 3), generator=draw))
    beyond = [torch.full_like(part[:, :1], torch.nan if part.is_floating_point() else -1) for part in short[:4]]
    padded = Episodes(*(torch.cat(pair, 1) for pair in zip(short[:4], beyond, strict=True)),
                      torch.tensor([[True, True, False]] * 4), torch.tensor([[True, True, True, False]] * 4))
    expected, found = build(), build()
    for name, value in expected.adapt(*short.support).items():
        torch.testing.assert_close(found.adapt(*padded.support)[name], value)
    torch.testing.assert_close(found.backward(padded), expected.backward(short))
    for one, other in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_anil_moves_the_head_alone_and_learns_the_body_all_the_same():
    episodes, own = sinusoids(), learner(ANIL)
    adapted = own.adapt(*episodes.support)
    torch.testing.assert_close(adapted["hidden.0.weight"], own.model.hidden[0].weight.expand(4, 1, 8))
    assert (adapted["head.weight"] != own.model.head.weight).any()
    own.backward(episodes)
    assert own.model.hidden[0].weight.grad.abs().sum() > 0


def test_nothing_to_adapt_is_refused():
    with pytest.raises(ValueError, match=r"nothing to adapt.*0\.weight"):
        ANIL(nn.Sequential(nn.Linear(1, 1)), squared_error)
    frozen = TaskMLP(1, (), 1).requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to adapt"):
        MAML(frozen, squared_error)


def test_frozen_parameters_stay_where_they_are():
    own = learner()
    own.model.hidden.requires_grad_(False)
    own = MAML(own.model, squared_error, 0.05, 2)
    episodes = sinusoids()
    own.backward(episodes)
    assert own.model.hidden[0].weight.grad is None
    adapted = own.adapt(*episodes.support)
    torch.testing.assert_close(adapted["hidden.0.bias"], own.model.hidden[0].bias.expand(4, -1))
    assert (adapted["head.bias"] != own.model.head.bias).all()


def test_meta_sgd_begins_as_maml():
    episodes = sinusoids()
    torch.testing.assert_close(learner(MetaSGD)(episodes), learner(MAML)(episodes))


def test_reptile_goes_part_of_the_way_to_the_mean():
    start, ends = torch.tensor([0.0, 4.0]), torch.tensor([[2.0, 4.0], [4.0, 0.0]])
    assert reptile_update(start, ends, 0.5).tolist() == [1.5, 3]
    assert reptile_update(start, ends, 1.0).tolist() == ends.mean(0).tolist()


def test_reptile_with_plain_descent_takes_the_papers_step():
    episodes, own = sinusoids(), learner(Reptile, steps=3)
    x, y = (torch.cat(pair, 1) for pair in ((episodes.support_x, episodes.query_x),
                                            (episodes.support_y, episodes.query_y)))
    expected = {name: reptile_update(own.model.get_parameter(name).detach(), ends.detach(), 0.3)
                for name, ends in own.adapt(x, y).items()}
    own.backward(episodes)
    torch.optim.SGD(own.parameters(), lr=0.3).step()
    for name, value in expected.items():
        torch.testing.assert_close(own.model.get_parameter(name).detach(), value)


def test_reptile_gradients_add_up_as_gradients_do():
    episodes, own = sinusoids(), learner(Reptile)
    own.backward(episodes)
    once = own.model.head.weight.grad.clone()
    own.backward(episodes)
    torch.testing.assert_close(own.model.head.weight.grad, 2 * once)


def test_targets_of_another_shape_are_not_broadcast():
    with pytest.raises(ValueError, match=r"outputs have shape \[2, 3, 1\], targets \[2, 3\]"):
        squared_error(torch.zeros(2, 3, 1), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"outputs have shape \[2, 3, 4\], targets \[3, 2\]"):
        cross_entropy(torch.zeros(2, 3, 4), torch.zeros(3, 2, dtype=torch.long))


def test_a_class_that_a_row_cannot_have_gets_no_probability_and_no_gradient():
    logits = torch.tensor([[[1.0, 2.0, -torch.inf]]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([[0]])).sum()
    assert loss.item() == pytest.approx(torch.tensor([1.0, 2.0]).logsumexp(0).item() - 1)
    loss.backward()
    assert logits.grad[0, 0, 2] == 0


def test_memory_grows_with_inner_steps_in_second_order_alone():
    episodes = sinusoids()

    def kept(steps, first_order):
        own = learner(steps=steps, first_order=first_order)
        with SavedBytes() as saved:
            own.backward(episodes)
        return saved.peak

    assert kept(8, True) == kept(2, True)
    kept_by = [kept(steps, False) for steps in (2, 4, 6, 8)]
    growth = [after - before for before, after in itertools.pairwise(kept_by)]
    assert growth[0] == growth[1] == growth[2] > 0


def test_gradients_are_the_same_while_bytes_are_counted():
    episodes, plain, watched = sinusoids(), learner(), learner()
    plain.backward(episodes)
    with SavedBytes():
        watched.backward(episodes)
    assert torch.equal(plain.model.hidden[0].weight.grad, watched.model.hidden[0].weight.grad)


def test_saved_bytes_count_a_storage_once_and_let_it_go():
    x = torch.zeros(1000, requires_grad=True)
    with SavedBytes() as saved:
        square = x * x                          # both factors are the same storage
        assert saved.held == 4000
        exponential = x.exp()
        assert saved.held == 8000
        del exponential
        assert saved.held == 4000
        square.sum().backward()
    assert saved.peak == 8000
    assert x.grad.sum() == 0
