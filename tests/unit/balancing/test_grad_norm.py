"""GradNorm: its targets, its gradient and the layer that it looks at."""

import gc

import pytest
import torch

from mtl_tutorial.balancing.grad_norm import GradNorm, gradnorm_targets
from mtl_tutorial.data.table import Table
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import losses

LAYER = "body.layers.1.weight"


def new_model(table, tasks, seed=0):
    torch.manual_seed(seed)
    return SharedBottom(table.schema, tasks, widths=(16, 8)).double()


def train(model, method, tasks, batches, lr=0.05):
    optimizer = torch.optim.SGD(model.parameters(), lr)
    for batch in batches:
        optimizer.zero_grad()
        method.backward(model, tasks, batch)
        optimizer.step()


@pytest.fixture
def batches(mixed_table):
    return [mixed_table(60, seed=seed, dtype=torch.float64) for seed in range(6)]


def test_targets_by_hand():
    norms, now, first = torch.tensor([1.0, 3.0]), torch.tensor([0.5, 2.0]), torch.tensor([1.0, 2.0])
    # shares of the first loss that remain: 1/2 and 1; their mean 3/4; rates 2/3 and 4/3; mean norm 2
    assert gradnorm_targets(norms, now, first, alpha=0.0).tolist() == [2.0, 2.0]
    assert gradnorm_targets(norms, now, first, alpha=1.0).tolist() == pytest.approx([4 / 3, 8 / 3])
    assert gradnorm_targets(norms, now, first, alpha=2.0).tolist() == pytest.approx([8 / 9, 32 / 9])


def test_targets_are_constants_and_one_row_per_repeat():
    norms = torch.rand(4, 3, requires_grad=True)
    now, first = torch.rand(4, 3) + 0.1, torch.rand(4, 3) + 0.1
    targets = gradnorm_targets(norms, now, first, 1.5)
    assert not targets.requires_grad
    for repeat in range(4):
        alone = gradnorm_targets(norms[repeat], now[repeat], first[repeat], 1.5)
        torch.testing.assert_close(targets[repeat], alone)


def by_autograd(weights, first_losses, model, tasks, batch, layer, alpha, lr):
    """Return the weights after one step on the paper's loss, differentiated through the gradients' norms."""
    weights = weights.clone().requires_grad_()
    by_task = losses(tasks, model(batch.inputs), batch)
    norms = torch.stack([torch.autograd.grad(weight * loss, model.get_parameter(layer), create_graph=True)[0].norm()
                         for weight, loss in zip(weights, by_task, strict=True)])
    remaining = by_task.detach() / first_losses
    targets = (norms.mean() * (remaining / remaining.mean()) ** alpha).detach()
    gradient, = torch.autograd.grad((norms - targets).abs().sum(), weights)
    unit = (norms.detach() / weights.detach()).mean()                                   # mean norm, unweighted
    moved = (weights - lr * gradient / unit).detach().clamp(min=1e-3)
    return 3 * moved / moved.sum()


@pytest.mark.parametrize("layer", [LAYER, "body.layers.0.weight", "encoder.embedding.table.weight"])
@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_weights_follow_the_papers_loss_at_the_named_layer(layer, alpha, batches, mixed_tasks):
    model = new_model(batches[0], mixed_tasks)
    method = GradNorm(mixed_tasks, layer, alpha=alpha, lr=0.1).double()
    first = losses(mixed_tasks, model(batches[0].inputs), batches[0]).detach()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    seen = [method.weights.clone()]
    for batch in batches:
        expected = by_autograd(method.weights, first, model, mixed_tasks, batch, layer, alpha, 0.1)
        optimizer.zero_grad()
        method.backward(model, mixed_tasks, batch)
        optimizer.step()
        torch.testing.assert_close(method.weights, expected, rtol=1e-9, atol=1e-12)
        seen.append(method.weights.clone())
    assert (torch.stack(seen).diff(dim=0).abs().amax(-1) > 1e-3).all()


def test_layers_disagree_so_the_name_matters(batches, mixed_tasks):
    found = {}
    for layer in (LAYER, "encoder.embedding.table.weight"):
        method = GradNorm(mixed_tasks, layer, alpha=0.0, lr=0.1).double()
        train(new_model(batches[0], mixed_tasks), method, mixed_tasks, batches)
        found[layer] = method.weights
    assert (found[LAYER] - found["encoder.embedding.table.weight"]).abs().max() > 0.01


def test_objective_is_the_weighted_sum_with_the_weights_of_before_the_step(batches, mixed_tasks):
    model, plain = (new_model(batches[0], mixed_tasks) for _ in range(2))
    method = GradNorm(mixed_tasks, LAYER).double()
    method.weights.copy_(torch.tensor([2.0, 0.7, 0.3], dtype=torch.float64))
    found = method.backward(model, mixed_tasks, batches[0])
    by_task = losses(mixed_tasks, plain(batches[0].inputs), batches[0])
    (by_task @ torch.tensor([2.0, 0.7, 0.3], dtype=torch.float64)).backward()
    torch.testing.assert_close(found, by_task.detach())
    for mine, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lr", [0.025, 5.0])
def test_weights_stay_positive_and_sum_to_the_number_of_tasks(lr, batches, mixed_tasks):
    method = GradNorm(mixed_tasks, LAYER, lr=lr).double()
    for _ in range(5):
        train(new_model(batches[0], mixed_tasks), method, mixed_tasks, batches)
        assert method.weights.min() > 0
        assert method.weights.sum().item() == pytest.approx(3, rel=1e-12)


def test_without_alpha_the_gradients_come_to_one_norm(batches, mixed_tasks):
    """At a model that stands still: the weights alone move."""
    model, batch = new_model(batches[0], mixed_tasks), batches[0]
    method = GradNorm(mixed_tasks, LAYER, alpha=0.0, lr=0.002).double()
    by_task = losses(mixed_tasks, model(batch.inputs), batch)
    norms = torch.stack([torch.autograd.grad(loss, model.get_parameter(LAYER), retain_graph=True)[0].norm()
                         for loss in by_task])
    assert norms.max() > 1.5 * norms.min()
    seen = []
    for _ in range(1000):
        train(model, method, mixed_tasks, [batch], lr=0.0)
        seen.append(method.weights * norms)
    weighted = torch.stack(seen[-200:]).mean(0)         # the steps have a fixed size, so that the weights jitter
    assert weighted.max() < 1.05 * weighted.min()


def test_unknown_layer_is_refused_naming_those_there_are(batches, mixed_tasks):
    message = r"no parameter 'body.weight'; it has (?=.*body\.layers\.0\.weight).*encoder\.embedding\.table\.weight"
    model = new_model(batches[0], mixed_tasks)
    with pytest.raises(KeyError, match=message):
        GradNorm(mixed_tasks, "body.weight").double().backward(model, mixed_tasks, batches[0])
    with pytest.raises(KeyError, match=message):
        GradNorm(mixed_tasks, "body.weight", repeats=2).double().backward(Stacked([model, model]), mixed_tasks,
                                                                          batches[0].repeat(2))


def test_each_repeat_of_a_stack_has_weights_as_if_alone(batches, mixed_tasks):
    models = [new_model(batches[0], mixed_tasks, seed) for seed in range(2)]
    together = GradNorm(mixed_tasks, LAYER, lr=0.1, repeats=2).double()
    train(Stacked(models), together, mixed_tasks, [Table.stack(pair) for pair in (batches[:2], batches[2:4])])
    for repeat, model in enumerate(models):
        alone = GradNorm(mixed_tasks, LAYER, lr=0.1).double()
        train(model, alone, mixed_tasks, batches[repeat:4:2])
        torch.testing.assert_close(together.weights[repeat], alone.weights, rtol=1e-9, atol=1e-12)
    assert (together.weights[0] - together.weights[1]).abs().max() > 1e-3


def tensors_alive():
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def test_nothing_piles_up_from_step_to_step(batches, mixed_tasks):
    model, method = new_model(batches[0], mixed_tasks), GradNorm(mixed_tasks, LAYER).double()
    train(model, method, mixed_tasks, batches)
    after_one = tensors_alive()
    for _ in range(3):
        train(model, method, mixed_tasks, batches)
    assert tensors_alive() <= after_one
    for tensor in method.state_dict(keep_vars=True).values():
        assert tensor.grad_fn is None
        assert not tensor.requires_grad
