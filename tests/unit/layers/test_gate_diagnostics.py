import math

import pytest
import torch

from mtl_tutorial.layers.gate_diagnostics import distance_between_tasks, experts_in_use

ONE, TWO = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]


def test_a_gate_that_sends_every_row_to_one_expert_uses_one():
    gates = torch.tensor([[ONE, TWO]] * 5)                                  # [N, T, E]
    assert experts_in_use(gates).tolist() == pytest.approx([1, 1])


def test_a_gate_that_sends_rows_to_two_experts_evenly_uses_two_though_each_row_uses_one():
    gates = torch.tensor([[ONE], [TWO]])
    assert experts_in_use(gates).item() == pytest.approx(2)


def test_uniform_gates_use_all_experts_and_agree():
    gates = torch.full((3, 7, 2, 4), 0.25)                                  # a leading dimension of repeats
    assert torch.allclose(experts_in_use(gates), torch.full((3, 2), 4.0))
    assert torch.equal(distance_between_tasks(gates), torch.zeros(3))


def test_uneven_use_counts_by_its_entropy():
    gates = torch.tensor([[[0.75, 0.25]]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert experts_in_use(gates).item() == pytest.approx(math.exp(entropy))


def test_tasks_that_share_no_expert_are_at_distance_one():
    assert distance_between_tasks(torch.tensor([[ONE, TWO]] * 5)).item() == pytest.approx(1)


def test_distance_is_the_mean_over_pairs_of_tasks():
    gates = torch.tensor([[ONE, ONE, TWO]])                                 # pairs: 0, 1, 1
    assert distance_between_tasks(gates).item() == pytest.approx(2 / 3)
