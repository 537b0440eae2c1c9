"""Right answers to the exercises of lessons 04 and 05 in other words, and wrong ones that come near."""

import pytest
import torch
from torch.autograd import grad
from torch.nn.functional import one_hot

from mtl_tutorial.classroom.diagnosis import diagnose
from mtl_tutorial.classroom.exercise import find_exercise


def merged_layer(weight, down, up, alpha):
    return torch.addmm(weight, down, up, alpha=alpha / len(up))


def leash_in_a_loop(weights, start, alpha, beta):
    total = torch.tensor(0.0)
    for name, value in weights.items():
        strength, begin = (alpha, start[name]) if name in start else (beta, 0)
        total = total + strength / 2 * (value - begin).pow(2).sum()
    return total


def coral_by_cov(source, target):
    return (torch.cov(source.T) - torch.cov(target.T)).norm() ** 2 / (2 * source.shape[1]) ** 2


def reversed_by_hook(x, strength):
    y = x.view_as(x)
    if y.requires_grad:
        y.register_hook(lambda gradient: -strength * gradient)
    return y


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.neg() * ctx.strength, None


def step_in_another_order(weights, loss_of, rate, first_order):
    names = sorted(weights)
    gradients = grad(loss_of(weights), [weights[name] for name in names], create_graph=not first_order)
    return {name: weights[name] - rate * gradient for name, gradient in zip(names, gradients, strict=True)}


def step_with_a_detached_gradient(weights, loss_of, rate, first_order):
    gradients = grad(loss_of(weights), tuple(weights.values()), create_graph=True)
    return {name: weights[name] - rate * (gradient.detach() if first_order else gradient)
            for name, gradient in reversed(list(zip(weights, gradients, strict=True)))}


def meta_gradient_in_one_graph(weights, support_loss, query_loss, rate, first_order):
    start = weights.clone().requires_grad_()
    [slope] = grad(support_loss(start), start, create_graph=not first_order)
    return grad(query_loss(start - rate * slope), start)[0]


def meta_gradient_by_matrix(weights, support_loss, query_loss, rate, first_order):
    end = weights - rate * torch.func.grad(support_loss)(weights)
    slope = torch.func.grad(query_loss)(end)
    return slope if first_order else slope - rate * torch.func.hessian(support_loss)(weights) @ slope


def reptile_as_a_mixture(start, adapted, rate):
    return (1 - rate) * start + rate * adapted.sum(0) / len(adapted)


def split_by(share):
    def split(x, y, order, shots, classes):
        x, y = x[order], y[order]
        return x[:shots], y[:shots], x[shots:], y[shots:], share(x, y[:shots], classes)
    return split


share_of_its_rows_dtype = split_by(lambda x, y, classes: one_hot(y, classes).to(x.dtype).mean(0))
share_by_float = split_by(lambda x, y, classes: one_hot(y, classes).float().mean(0))
share_by_list = split_by(lambda x, y, classes: torch.tensor([(y == c).sum() / len(y) for c in range(classes)]))


def proto_by_einsum(support, labels, query, classes):
    members = one_hot(labels, classes).float()
    means = torch.einsum("tsc,tsd->tcd", members, support) / members.sum(1)[..., None]
    return -(query[:, :, None] - means[:, None]).pow(2).sum(-1)


def proto_in_a_loop(support, labels, query, classes):
    logits = torch.zeros(*query.shape[:2], classes)
    for task in range(len(support)):
        for c in range(classes):
            mean = support[task][labels[task] == c].mean(0)
            logits[task, :, c] = -((query[task] - mean) ** 2).sum(-1)
    return logits


def proto_multiplied_out(support, labels, query, classes):
    members = one_hot(labels, classes).float()
    means = members.mT @ support / members.sum(1).unsqueeze(-1)
    return 2 * query @ means.mT - means.square().sum(-1)[:, None] - query.square().sum(-1, keepdim=True)


def proto_by_cdist(support, labels, query, classes):
    members = one_hot(labels, classes).float()
    return -torch.cdist(query, members.mT @ support / members.sum(1).unsqueeze(-1)) ** 2


@pytest.mark.parametrize(("id", "function"), [
    ("04.merge_lora", merged_layer),
    ("04.l2_sp_penalty", leash_in_a_loop),
    ("04.coral_loss", coral_by_cov),
    ("04.reverse_gradient", reversed_by_hook),
    ("04.reverse_gradient", Reversed.apply),
    ("05.inner_step", step_in_another_order),
    ("05.inner_step", step_with_a_detached_gradient),
    ("05.meta_gradient", meta_gradient_in_one_graph),
    ("05.meta_gradient", meta_gradient_by_matrix),
    ("05.reptile_update", reptile_as_a_mixture),
    ("05.split_episode", share_of_its_rows_dtype),
    ("05.split_episode", share_by_float),
    ("05.split_episode", share_by_list),
    ("05.prototype_logits", proto_by_einsum),
    ("05.prototype_logits", proto_in_a_loop),
    ("05.prototype_logits", proto_multiplied_out),
    ("05.prototype_logits", proto_by_cdist),
])
def test_right_answer_in_other_words_is_accepted(id, function):
    assert diagnose(find_exercise(id), function) is None


def covariances_of_rows(source, target):
    source, target = source - source.mean(0), target - target.mean(0)
    return (source @ source.T / (len(source) - 1) - target @ target.T / (len(target) - 1)).square().mean() / 4


def penalty_of_all_names(weights, start, alpha, beta):
    return sum(alpha / 2 * (value - start[name]).square().sum() for name, value in weights.items())


def hooked_on_x(x, strength):
    x.register_hook(lambda gradient: -strength * gradient)
    return x


def step_in_place(weights, loss_of, rate, first_order):
    gradients = grad(loss_of(weights), list(weights.values()), create_graph=not first_order)
    with torch.no_grad():
        for value, gradient in zip(weights.values(), gradients, strict=True):
            value -= rate * gradient
    return weights


def step_by_backward(weights, loss_of, rate, first_order):
    loss_of(weights).backward(create_graph=not first_order)
    return {name: value - value.grad * rate for name, value in weights.items()}


def meta_gradient_without_graph(weights, support_loss, query_loss, rate, first_order):
    start = weights.clone().requires_grad_()
    [slope] = grad(support_loss(start), start)
    [direction] = grad(query_loss(start - rate * slope), start)
    return direction if first_order else direction - rate * grad(slope, start, direction)[0]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("id", "function", "told"), [
    ("04.coral_loss", covariances_of_rows, "one row and column for each *row*"),
    ("04.l2_sp_penalty", penalty_of_all_names, "A new weight has no start"),
    ("04.reverse_gradient", hooked_on_x, "The hook hangs on x itself"),
    ("05.inner_step", step_in_place, "It changed its argument `weights` in place"),
    ("05.inner_step", step_by_backward, "`.grad` is None"),
    ("05.meta_gradient", meta_gradient_without_graph, "without `create_graph=True`"),
])
def test_wrong_answer_that_comes_near_is_explained(id, function, told):
    assert told in diagnose(find_exercise(id), function).lines[0]
