import pytest
import torch

from mtl_tutorial.layers.task_mlp import TaskMLP
from mtl_tutorial.meta.episodes import Episodes
from mtl_tutorial.meta.proto_net import ProtoNet, prototype_logits, prototypes


def test_prototypes_are_means_of_unequal_classes():
    support = torch.tensor([[[0.0, 0], [2, 4], [10, 10]]])
    assert prototypes(support, torch.tensor([[1, 1, 0]]), 2).tolist() == [[[10, 10], [1, 2]]]


def test_rows_that_do_not_count_have_no_influence_not_even_nan():
    support = torch.tensor([[[0.0, 0], [2, 4], [torch.nan, 10]]])
    mask = torch.tensor([[True, True, False]])
    assert prototypes(support, torch.tensor([[1, 0, 0]]), 2, mask).tolist() == [[[2, 4], [0, 0]]]


def test_logits_are_minus_the_squared_distance():
    support, query = torch.tensor([[[0.0, 0], [3, 4]]]), torch.tensor([[[0.0, 0], [3, 0]]])
    assert prototype_logits(support, torch.tensor([[0, 1]]), query, 2).tolist() == [[[0, -25], [-9, -16]]]


def test_a_proto_net_is_a_linear_classifier():
    generator = torch.Generator().manual_seed(0)
    support, query = (torch.randn(2, n, 5, generator=generator, dtype=torch.float64) for n in (6, 7))
    labels = torch.arange(6).repeat(2, 1) % 3
    means = prototypes(support, labels, 3)
    linear = 2 * query @ means.transpose(1, 2) - means.square().sum(-1).unsqueeze(1)
    torch.testing.assert_close(prototype_logits(support, labels, query, 3).softmax(-1), linear.softmax(-1))


def test_an_empty_class_is_refused():
    with pytest.raises(ValueError, match="support set of task 1 has no row of class 2"):
        ProtoNet(TaskMLP(2, (), 2), 3).adapt(torch.zeros(2, 3, 2), torch.tensor([[0, 1, 2], [0, 1, 1]]))


def test_training_finds_the_direction_that_tells_classes_apart():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    learner = ProtoNet(TaskMLP(6, (), 2), 2)
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.02)
    for _ in range(100):
        y = torch.arange(8).repeat(10, 1) % 2
        x = torch.randn(10, 8, 6, generator=generator)
        x[..., 0] += 2 * y
        optimizer.zero_grad()
        learner.backward(Episodes(x[:, :4], y[:, :4], x[:, 4:], y[:, 4:]))
        optimizer.step()
    length = learner.model.head.weight.norm(dim=1)      # of each input's weights
    assert length[0] > 2 * length[1:].max()
