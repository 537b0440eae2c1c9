import pytest
import torch

from mtl_tutorial.classroom.authoring import separation
from mtl_tutorial.classroom.exercise import Exercise


def test_function_is_not_separated_from_itself(mix):
    assert separation(mix, mix.reference, mix.reference) == 0


def test_separation_counts_tolerances(mix):
    def shifted(expert_outputs, gate_logits):
        return mix.reference(expert_outputs, gate_logits) + 5e-6
    assert 1 < separation(mix, mix.reference, shifted) <= 5


def test_separation_sees_outputs_and_gradients(mix):
    apart = [separation(mix, mix.reference, mistake.function) for mistake in mix.mistakes]
    assert all(distance > 100 for distance in apart)


def test_other_shapes_are_infinitely_far_apart(mix):
    assert separation(mix, mix.reference, lambda e, g: e) == float("inf")


def test_function_that_fails_is_the_authors_error(mix):
    with pytest.raises(RuntimeError, match=r"01\.mix_experts: a function fails on a case"):
        separation(mix, mix.reference, lambda e, g: e.bogus)


def test_other_shapes_count_behind_other_values_too():
    pair = Exercise("01.pair", lambda x: (x, x), lambda: [(torch.ones(3),)], hints=("",), mistakes=())
    assert separation(pair, pair.reference, lambda x: (x + 1, x[:2])) == float("inf")
