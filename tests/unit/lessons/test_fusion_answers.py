"""Right answers to the exercises on fusing, in other words than the package's."""

import pytest
import torch
from torch.nn import functional as F

from mtl_tutorial.classroom.diagnosis import diagnose
from mtl_tutorial.classroom.exercise import find_exercise


def threshold_by_halving(values):
    low, high = values.amin(-1, keepdim=True) - 1, values.amax(-1, keepdim=True)
    for _ in range(60):
        middle = (low + high) / 2
        too_much = (values - middle).clamp(min=0).sum(-1, keepdim=True) > 1
        low, high = torch.where(too_much, middle, low), torch.where(too_much, high, middle)
    return (values - low).clamp(min=0)


def weights_left_out_one_round_after_another(values):
    if values.dim() > 1:
        return torch.stack([weights_left_out_one_round_after_another(row) for row in values])
    kept = torch.ones_like(values, dtype=torch.bool)
    while True:
        moved = values - (values[kept].sum() - 1) / kept.sum()
        if (moved[kept] >= 0).all():
            return torch.relu(moved)
        kept = kept & (moved > 0)


def a_model_for_each_row(fit, x, y, fold):
    return torch.stack([fit(x[fold != fold[n]], y[fold != fold[n]])(x[n:n + 1])[0] for n in range(len(y))])


def by_row_numbers(fit, x, y, fold):
    answers = torch.zeros(len(y), dtype=y.dtype)
    for number in set(fold.tolist()):
        inside, outside = torch.where(fold == number)[0], torch.where(fold != number)[0]
        answers[inside] = fit(x[outside], y[outside])(x[inside])
    return answers


def in_one_expression_each(predictions, targets, weights):
    mean = (predictions * weights[:, None]).sum(0)
    return (((mean - targets) ** 2).mean(), (weights * ((predictions - targets) ** 2).mean(1)).sum(),
            (weights * ((predictions - mean) ** 2).mean(1)).sum())


def ambiguity_by_the_identity(predictions, targets, weights):
    error = F.mse_loss(torch.einsum("mn,m->n", predictions, weights), targets)
    errors = sum(weight * F.mse_loss(expert, targets) for weight, expert in zip(weights, predictions, strict=True))
    return [error, errors, errors - error]


@pytest.mark.parametrize(("id", "function"), [
    ("07.project_to_simplex", threshold_by_halving),
    ("07.project_to_simplex", weights_left_out_one_round_after_another),
    ("07.out_of_fold", a_model_for_each_row),
    ("07.out_of_fold", by_row_numbers),
    ("07.ambiguity", in_one_expression_each),
    ("07.ambiguity", ambiguity_by_the_identity),
])
def test_right_answer_in_other_words_is_accepted(id, function):
    assert diagnose(find_exercise(id), function) is None
