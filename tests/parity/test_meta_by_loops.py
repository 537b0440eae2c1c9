"""Meta-learners that adapt all tasks at once against a plain loop over tasks, in float64."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from mtl_tutorial.layers.task_mlp import TaskMLP
from mtl_tutorial.meta.anil import ANIL
from mtl_tutorial.meta.episodes import Episodes
from mtl_tutorial.meta.fine_tuning import FineTuning
from mtl_tutorial.meta.losses import cross_entropy, squared_error
from mtl_tutorial.meta.maml import MAML
from mtl_tutorial.meta.meta_sgd import MetaSGD
from mtl_tutorial.meta.proto_net import ProtoNet
from mtl_tutorial.meta.reptile import Reptile
from mtl_tutorial.models.stacked import Stacked

TASKS, SUPPORT, QUERY, CLASSES, RATE = 5, 6, 4, 3, 0.1
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def batched_form():
    return TaskMLP(2, (7, 5), CLASSES).double()


def plain_module():
    return nn.Sequential(nn.Linear(2, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, CLASSES)).double()


MODELS = {"batched form": batched_form, "vmap": plain_module}
each_model = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
each_steps = pytest.mark.parametrize("steps", [1, 3])
each_mask = pytest.mark.parametrize("masked", [False, True], ids=["equal sizes", "masks"])


def draw(tasks=TASKS, masked=False, kind="classes", seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tasks, SUPPORT + QUERY, 2, generator=generator, dtype=torch.float64)
    if kind == "classes":
        y = torch.arange(SUPPORT + QUERY).expand(tasks, -1) % CLASSES
    else:
        y = torch.randn(tasks, SUPPORT + QUERY, CLASSES, generator=generator, dtype=torch.float64)
    masks = (None, None)
    if masked:      # the last rows do not count, but for the three at the front: one of each class
        left = (torch.arange(tasks) % 3).unsqueeze(-1)
        masks = torch.arange(SUPPORT) < SUPPORT - left, torch.arange(QUERY) < QUERY - left
    return Episodes(x[:, :SUPPORT], y[:, :SUPPORT], x[:, SUPPORT:], y[:, SUPPORT:], *masks)


def rows_of(episodes, task):
    """One task's support and query without padding."""
    parts = []
    for x, y, mask in (episodes.support, episodes.query):
        keep = slice(None) if mask is None else mask[task]
        parts += [x[task][keep], y[task][keep]]
    return parts


def gradients_by_loop(model, episodes, steps, loss, first_order=False, adapts=lambda name: True, rates=None):
    """The mean query loss after adaptation, task by task, and its gradient: name -> [...]."""
    start = dict(model.named_parameters())
    total = 0.0
    for task in range(episodes.tasks):
        support_x, support_y, query_x, query_y = rows_of(episodes, task)
        weights = dict(start)
        for _ in range(steps):
            inner = loss(functional_call(model, weights, (support_x,)), support_y)
            names = [name for name in weights if adapts(name)]
            gradients = torch.autograd.grad(inner, [weights[name] for name in names], create_graph=not first_order)
            for name, gradient in zip(names, gradients, strict=True):
                weights[name] = weights[name] - (RATE if rates is None else rates[name]) * gradient
        total = total + loss(functional_call(model, weights, (query_x,)), query_y) / episodes.tasks
    leaves = {**start, **{f"rate of {name}": rate for name, rate in (rates or {}).items()}}
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return total.detach(), dict(zip(leaves, found, strict=True))


def assert_same(learner, losses, model, expected):
    value, gradients = expected
    torch.testing.assert_close(losses.mean(), value, **EXACT)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], **EXACT)


@each_model
@each_steps
@each_mask
@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
def test_meta_gradient_is_that_of_a_loop_over_tasks(build, steps, masked, first_order):
    torch.manual_seed(0)
    model, episodes = build(), draw(masked=masked)
    learner = MAML(model, cross_entropy, RATE, steps, first_order)
    losses = learner.backward(episodes)
    assert_same(learner, losses, model, gradients_by_loop(model, episodes, steps, F.cross_entropy, first_order))


@each_model
@each_mask
def test_meta_gradient_of_squared_errors_is_that_of_a_loop(build, masked):
    torch.manual_seed(0)
    model, episodes = build(), draw(masked=masked, kind="numbers")
    learner = MAML(model, squared_error, RATE, 2)
    losses = learner.backward(episodes)
    assert_same(learner, losses, model, gradients_by_loop(model, episodes, 2, F.mse_loss))


@each_steps
@each_mask
def test_anil_is_the_loop_that_moves_the_head_alone(steps, masked):
    torch.manual_seed(0)
    model, episodes = batched_form(), draw(masked=masked)
    learner = ANIL(model, cross_entropy, RATE, steps)
    losses = learner.backward(episodes)
    assert_same(learner, losses, model, gradients_by_loop(model, episodes, steps, F.cross_entropy,
                                                          adapts=lambda name: name.startswith("head")))


@each_model
@each_steps
def test_meta_sgd_is_the_loop_with_a_rate_for_every_entry(build, steps):
    torch.manual_seed(0)
    model, episodes = build(), draw()
    learner = MetaSGD(model, cross_entropy, RATE, steps)
    for rate in learner.learned_rates().values():
        nn.init.uniform_(rate, -RATE, RATE)
    losses = learner.backward(episodes)
    rates = {name: rate.detach().clone().requires_grad_() for name, rate in learner.learned_rates().items()}
    expected = gradients_by_loop(model, episodes, steps, F.cross_entropy, rates=rates)
    assert_same(learner, losses, model, expected)
    for name, rate in learner.learned_rates().items():
        torch.testing.assert_close(rate.grad, expected[1][f"rate of {name}"], **EXACT)


@each_model
@each_mask
def test_reptile_leaves_the_way_to_the_mean_of_the_tasks_ends(build, masked):
    torch.manual_seed(0)
    model, episodes = build(), draw(masked=masked)
    Reptile(model, cross_entropy, RATE, 3).backward(episodes)
    start, ends = dict(model.named_parameters()), []
    for task in range(episodes.tasks):
        support_x, support_y, query_x, query_y = rows_of(episodes, task)
        weights = {name: value.detach().requires_grad_() for name, value in start.items()}
        for _ in range(3):
            outputs = functional_call(model, weights, (torch.cat([support_x, query_x]),))
            gradients = torch.autograd.grad(F.cross_entropy(outputs, torch.cat([support_y, query_y])),
                                            list(weights.values()))
            weights = {name: (value - RATE * gradient).detach().requires_grad_()
                       for (name, value), gradient in zip(weights.items(), gradients, strict=True)}
        ends.append(weights)
    for name, value in start.items():
        mean = torch.stack([end[name] for end in ends]).mean(0)
        torch.testing.assert_close(value.grad, (value - mean).detach(), **EXACT)


@each_model
@each_mask
def test_pooled_training_has_the_gradient_of_the_mean_loss_over_tasks(build, masked):
    torch.manual_seed(0)
    model, episodes = build(), draw(masked=masked)
    FineTuning(model, cross_entropy, RATE, 3).backward(episodes)
    total = 0.0
    for task in range(episodes.tasks):
        support_x, support_y, query_x, query_y = rows_of(episodes, task)
        outputs = model(torch.cat([support_x, query_x]))
        total = total + F.cross_entropy(outputs, torch.cat([support_y, query_y])) / episodes.tasks
    expected = torch.autograd.grad(total, list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, **EXACT)


@each_mask
def test_proto_net_is_the_loop_over_tasks_and_classes(masked):
    torch.manual_seed(0)
    model, episodes = batched_form(), draw(masked=masked)
    losses = ProtoNet(model, CLASSES).backward(episodes)
    total = 0.0
    for task in range(episodes.tasks):
        support_x, support_y, query_x, query_y = rows_of(episodes, task)
        embedded = model(support_x)
        means = torch.stack([embedded[support_y == c].mean(0) for c in range(CLASSES)])
        logits = torch.stack([-((z - means) ** 2).sum(1) for z in model(query_x)])
        total = total + F.cross_entropy(logits, query_y) / episodes.tasks
    torch.testing.assert_close(losses.mean(), total.detach(), **EXACT)
    for parameter, gradient in zip(model.parameters(), torch.autograd.grad(total, list(model.parameters())),
                                   strict=True):
        torch.testing.assert_close(parameter.grad, gradient, **EXACT)


@each_model
@each_mask
@pytest.mark.parametrize("method", [MAML, MetaSGD, Reptile, FineTuning])
def test_repeats_at_once_are_the_repeats_one_by_one(build, masked, method):
    torch.manual_seed(0)
    models = [build() for _ in range(3)]
    batches = [draw(masked=masked, seed=seed) for seed in range(3)]
    together = method(Stacked(models), cross_entropy, RATE, 2)
    losses = together.backward(Episodes.join(batches)).view(3, -1)
    gradients = {name: value.grad for name, value in together.model.named_weights.items()}
    for r, (model, episodes) in enumerate(zip(models, batches, strict=True)):
        torch.testing.assert_close(losses[r], method(model, cross_entropy, RATE, 2).backward(episodes), **EXACT)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(gradients[name][r], parameter.grad, **EXACT)


@each_mask
def test_repeats_of_proto_nets_at_once_are_the_repeats_one_by_one(masked):
    torch.manual_seed(0)
    models = [batched_form() for _ in range(3)]
    batches = [draw(masked=masked, seed=seed) for seed in range(3)]
    together = ProtoNet(Stacked(models), CLASSES)
    losses = together.backward(Episodes.join(batches)).view(3, -1)
    for r, (model, episodes) in enumerate(zip(models, batches, strict=True)):
        torch.testing.assert_close(losses[r], ProtoNet(model, CLASSES).backward(episodes), **EXACT)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(together.model.named_weights[name].grad[r], parameter.grad, **EXACT)


@each_model
def test_first_order_differs_from_second_order_where_an_inner_step_is_taken(build):
    torch.manual_seed(0)
    model, episodes = build(), draw()

    def gradient(steps, first_order):
        model.zero_grad()
        MAML(model, cross_entropy, RATE, steps, first_order).backward(episodes)
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])

    torch.testing.assert_close(gradient(0, True), gradient(0, False), **EXACT)
    for steps in (1, 3):
        apart = (gradient(steps, True) - gradient(steps, False)).norm() / gradient(steps, False).norm()
        assert apart > 0.01


def test_meta_gradient_is_the_slope_of_the_loss_after_adaptation():
    torch.manual_seed(0)
    model, episodes = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, CLASSES)).double(), draw()
    learner = MAML(model, cross_entropy, RATE, 2)
    learner.backward(episodes)
    weight, slope = model[0].weight, model[0].weight.grad.clone()
    with torch.no_grad():
        for entry in ((0, 0), (2, 1)):
            found = []
            for side in (1, -1):
                weight[entry] += side * 1e-5
                found.append(learner(episodes).mean())
                weight[entry] -= side * 1e-5
            torch.testing.assert_close((found[0] - found[1]) / 2e-5, slope[entry], rtol=1e-6, atol=1e-8)
