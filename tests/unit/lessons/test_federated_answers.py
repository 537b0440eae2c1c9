"""Right answers to the federated exercises in other words, and wrong ones that come near."""

import pytest
import torch

from mtl_tutorial.classroom.diagnosis import diagnose
from mtl_tutorial.classroom.exercise import find_exercise


def average_in_a_loop(weights, rows):
    found = {}
    for name, value in weights.items():
        if value.dtype.is_floating_point:
            found[name] = sum(n * one for n, one in zip(rows, value, strict=True)) / rows.sum()
        else:
            found[name] = value[0]
    return found


def average_by_einsum(weights, rows):
    return {name: torch.einsum("c,c...->...", rows.to(value.dtype) / rows.sum(), value)
            if value.is_floating_point() else value[0] for name, value in weights.items()}


def masked_in_a_loop(value, shared, client, ring):
    total = value.clone()
    for other in range(len(shared)):
        if other != client:
            total = total + (1 if client < other else -1) * shared[other]
    return total % 2**ring


def masked_by_signs(value, shared, client, ring):
    sign = torch.sign(torch.arange(len(shared)) - client)
    return torch.remainder(value + sign @ shared, 1 << ring)


@pytest.mark.parametrize(("id", "function"), [
    ("07.federated_average", average_in_a_loop),
    ("07.federated_average", average_by_einsum),
    ("07.masked", masked_in_a_loop),
    ("07.masked", masked_by_signs),
])
def test_right_answer_in_other_words_is_accepted(id, function):
    assert diagnose(find_exercise(id), function) is None


def average_in_float32(weights, rows):
    share = (rows / rows.sum()).float()
    return {name: (share.view(-1, *[1] * (value.dim() - 1)) * value.float()).sum(0) if value.is_floating_point()
            else value[0] for name, value in weights.items()}


def average_of_data(weights, rows):
    return {name: value.detach() for name, value in average_in_a_loop(weights, rows).items()}


def average_by_rows_along_the_last_dimension(weights, rows):
    return {name: (rows / rows.sum() * value).sum(0) if value.is_floating_point() else value[0]
            for name, value in weights.items()}


def masked_by_floats(value, shared, client, ring):
    return masked_in_a_loop(value.double(), shared.double(), client, ring)


@pytest.mark.parametrize(("id", "function", "told"), [
    ("07.federated_average", average_in_float32, "float32"),
    ("07.federated_average", average_of_data, "detached"),
    ("07.federated_average", average_by_rows_along_the_last_dimension, "trailing 1s"),
    ("07.masked", masked_by_floats, "dtype"),
])
def test_wrong_answer_is_told_what_is_wrong(id, function, told):
    assert told in " ".join(diagnose(find_exercise(id), function).lines)
