"""The gradients of K losses against one dense matrix."""

import pytest
import torch

from mtl_tutorial.balancing.forward import forward
from mtl_tutorial.balancing.jacobian import Jacobian, shared_parameters
from mtl_tutorial.models.ple import PLE
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked

SHAPES = ((3, 4), (5,), (2, 1, 3))
K, R = 3, 4


def blocks_and_matrix(repeats=None, seed=0):
    """Return a Jacobian of random blocks, and the same numbers as [K, P], or [R, K, P]."""
    generator = torch.Generator().manual_seed(seed)
    leading = () if repeats is None else (repeats,)
    gradients = [[torch.randn(*leading, *shape, generator=generator, dtype=torch.float64) for shape in SHAPES]
                 for _ in range(K)]
    rows = [torch.cat([block.flatten(len(leading)) for block in task], -1) for task in gradients]
    return Jacobian(gradients, stacked=repeats is not None), torch.stack(rows, -2)


@pytest.mark.parametrize("repeats", [None, R])
def test_gramian_is_the_matrix_times_its_transpose(repeats):
    jacobian, matrix = blocks_and_matrix(repeats)
    torch.testing.assert_close(jacobian.gramian(), matrix @ matrix.mT, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("repeats", [None, R])
def test_infinity_norm_is_the_largest_entry_of_each_row_by_size(repeats):
    jacobian, matrix = blocks_and_matrix(repeats)
    assert (matrix.amax(-1) < matrix.abs().amax(-1)).any()      # some largest entry is negative
    assert torch.equal(jacobian.infinity_norms(), matrix.abs().amax(-1))


@pytest.mark.parametrize("repeats", [None, R])
def test_combination_is_the_weights_times_the_matrix(repeats):
    jacobian, matrix = blocks_and_matrix(repeats)
    weights = torch.randn(*matrix.shape[:-1], dtype=torch.float64)
    combined = jacobian.combine(weights)
    assert [tuple(block.shape[matrix.dim() - 2:]) for block in combined] == list(SHAPES)
    flat = torch.cat([block.flatten(matrix.dim() - 2) for block in combined], -1)
    torch.testing.assert_close(flat, (weights.unsqueeze(-2) @ matrix).squeeze(-2), rtol=1e-13, atol=1e-13)


def test_combination_leaves_the_gradients_as_they_are():
    jacobian, matrix = blocks_and_matrix()
    jacobian.combine(torch.tensor([2.0, -1.0, 0.5]))
    assert torch.equal(jacobian.gramian(), blocks_and_matrix()[0].gramian())
    torch.testing.assert_close(jacobian.gramian(), matrix @ matrix.mT)


def test_gradients_are_those_of_each_loss_alone_and_the_graph_is_kept():
    first, second = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    losses = torch.stack([(first**2).sum() * second.sum(), (first * second).sum(), second.exp().sum()])
    jacobian = Jacobian.of(losses, [first, second])
    expected = [[2 * first * second.sum(), (first**2).sum().expand(3)], [second, first],
                [torch.zeros(3, dtype=torch.float64), second.exp()]]
    for found, wanted in zip(jacobian.gradients, expected, strict=True):
        torch.testing.assert_close(list(found), [tensor.detach() for tensor in wanted])
    losses.sum().backward()
    torch.testing.assert_close(first.grad, sum(task[0] for task in jacobian.gradients))


def test_tensor_that_a_loss_does_not_reach_has_the_gradient_zero():
    first, second = (torch.ones(2, requires_grad=True) for _ in range(2))
    jacobian = Jacobian.of(torch.stack([first.sum(), second.sum()]), [first, second])
    assert jacobian.gramian().tolist() == [[2, 0], [0, 2]]
    assert jacobian.infinity_norms().tolist() == [1, 1]
    assert [block.tolist() for block in jacobian.combine(torch.tensor([3.0, 5.0]))] == [[3, 3], [5, 5]]


def test_stacked_gradients_are_those_of_each_repeat_alone():
    weight = torch.randn(R, 5, dtype=torch.float64, requires_grad=True)
    x = torch.randn(R, K, 5, dtype=torch.float64)
    losses = (x @ weight.unsqueeze(-1)).squeeze(-1) ** 2                                # [R, K]
    jacobian = Jacobian.of(losses, [weight])
    assert jacobian.stacked
    for repeat in range(R):
        own = weight[repeat].detach().requires_grad_()
        alone = Jacobian.of((x[repeat] @ own) ** 2, [own])
        torch.testing.assert_close(jacobian.gramian()[repeat], alone.gramian(), rtol=1e-13, atol=1e-13)


def names_of(model, tensors):
    return {name for name, parameter in model.named_parameters() if any(parameter is tensor for tensor in tensors)}


def test_everything_but_the_towers_is_shared(mixed_table, mixed_tasks):
    model = SharedBottom(mixed_table().schema, mixed_tasks, widths=(16, 8))
    model.body.layers[0].bias.requires_grad_(False)
    shared = names_of(model, shared_parameters(model))
    assert shared == {"encoder.embedding.table.weight", "body.layers.0.weight", "body.layers.1.weight",
                      "body.layers.1.bias"}
    stacked = Stacked([model, model])
    assert names_of(stacked, shared_parameters(stacked)) == {
        f"weights.{name.replace('.', '/')}" for name in shared}


def test_own_experts_of_a_task_count_as_shared_and_others_have_gradient_zero_there(mixed_table, mixed_tasks):
    table = mixed_table()
    model = PLE(table.schema, mixed_tasks, own=1, shared=1)
    shared = shared_parameters(model)
    bank = model.levels[-1].experts.layers[0].weight                                    # [3 own + 1 shared, I, O]
    place = next(number for number, tensor in enumerate(shared) if tensor is bank)
    losses, _ = forward(model, mixed_tasks, table)
    reached = [task[place].flatten(1).any(1).tolist() for task in Jacobian.of(losses, shared).gradients]
    assert reached == [[True, False, False, True], [False, True, False, True], [False, False, True, True]]
