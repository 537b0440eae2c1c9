import pytest
import torch
from torch import nn
from torch.func import functional_call

from mtl_tutorial.layers.task_mlp import TaskMLP
from mtl_tutorial.meta.weights import initial_weights, spread, task_call
from mtl_tutorial.models.stacked import Stacked


def own_weights(model, tasks):
    """Weights of every task its own, drawn at random."""
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(tasks, *value.shape, generator=generator) for name, value in model.named_parameters()}


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 6, 2, 3)])
@pytest.mark.parametrize("model", [TaskMLP(3, (5,), 2), TaskMLP(3, (), 2), nn.Linear(3, 5)])
def test_every_task_is_computed_with_its_own_weights(model, shape):
    weights, x = own_weights(model, 4), torch.randn(shape)
    found = task_call(model, weights, x)
    expected = torch.stack([functional_call(model, {name: value[t] for name, value in weights.items()}, (x[t],))
                            for t in range(4)])
    torch.testing.assert_close(found, expected)


def test_batched_form_is_used_where_there_is_one():
    class Batched(nn.Linear):
        def task_forward(self, weights, x):
            return x @ weights["weight"].transpose(1, 2) + 7

    x = torch.ones(2, 3, 1)
    assert torch.equal(task_call(Batched(1, 1), {"weight": torch.ones(2, 1, 1)}, x), x + 7)


def test_one_model_is_spread_to_all_tasks_and_a_stack_to_those_of_its_repeats():
    weights = {"w": torch.tensor([[1.0], [2.0]], requires_grad=True)}
    assert spread(weights, 3, None)["w"].tolist() == [[[1], [2]]] * 3
    by_repeat = spread(weights, 6, 2)["w"]
    assert by_repeat.tolist() == [[1]] * 3 + [[2]] * 3
    by_repeat.sum().backward()
    assert weights["w"].grad.tolist() == [[3], [3]]


def test_tasks_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ValueError, match="5 tasks cannot be shared out evenly among 2 repeats"):
        spread({"w": torch.zeros(2, 1)}, 5, 2)


def test_a_stack_computes_each_repeat_as_its_model_would_buffers_included():
    class Scaled(nn.Linear):
        def __init__(self):
            super().__init__(3, 2)
            self.register_buffer("scale", torch.rand(1))

        def forward(self, x):
            return super().forward(x) * self.scale

    models = [Scaled() for _ in range(2)]
    stack, x = Stacked(models), torch.randn(6, 4, 3)
    found = task_call(stack, spread(initial_weights(stack), 6, 2), x)
    torch.testing.assert_close(found, torch.cat([models[0](x[:3]), models[1](x[3:])]))


def test_running_statistics_are_refused_in_training_and_constants_in_evaluation():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    weights, x = spread(initial_weights(model), 4, None), torch.randn(4, 6, 3)
    with pytest.raises(ValueError, match=r"layer '1' \(BatchNorm1d\) keeps running statistics"):
        task_call(model, weights, x)
    found = task_call(model.eval(), weights, x)
    torch.testing.assert_close(found, model(x.flatten(0, 1)).view(4, 6, 2))
    assert model[1].num_batches_tracked == 0


def test_batch_statistics_leak_from_one_query_row_to_another_within_a_task():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False))
    weights, x = spread(initial_weights(model), 2, None), torch.randn(2, 6, 3)
    changed = x.clone()
    changed[0, -1] += 10
    moved = (task_call(model, weights, changed) - task_call(model, weights, x)).abs().sum(-1)
    assert (moved[0, :-1] > 0.1).all()      # rows whose inputs are the same
    assert (moved[1] == 0).all()            # another task


def test_layer_norm_has_no_such_leak():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    weights, x = spread(initial_weights(model), 2, None), torch.randn(2, 6, 3)
    changed = x.clone()
    changed[0, -1] += 10
    torch.testing.assert_close(task_call(model, weights, changed)[0, :-1], task_call(model, weights, x)[0, :-1])


def test_dropout_is_of_every_task_its_own():
    model = nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5))
    kept = task_call(model, spread(initial_weights(model), 2, None), torch.ones(2, 1, 3)) != 0
    assert not torch.equal(kept[0], kept[1])


def test_task_layers_start_as_linear_layers_do():
    torch.manual_seed(0)
    ours, theirs = TaskMLP(400, (), 300).head, nn.Linear(400, 300)
    for one, other in ((ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        assert one.abs().max() <= 0.05
        torch.testing.assert_close(one.std(), other.std(), rtol=0.1, atol=0)
