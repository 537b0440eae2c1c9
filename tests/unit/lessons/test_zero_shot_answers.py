"""Answers to the exercises of lesson 06 in other words than the package's, right ones and near misses."""

import pytest
import torch
from torch.nn import functional as F

from mtl_tutorial.classroom.diagnosis import diagnose
from mtl_tutorial.classroom.exercise import find_exercise


def accuracies(mean=lambda a, b: 2 * a * b / (a + b) if a + b else 0.0, dtype=torch.float32):
    """An answer in a loop over classes."""
    def answer(found, y, seen):
        def side(among):
            present = [c for c in range(len(seen)) if among[c] and (y == c).any()]
            return torch.stack([(found[y == c] == c).to(dtype).mean() for c in present]).mean()
        a, b = side(seen), side(~seen)
        return a, b, mean(a, b)
    return answer


def accuracies_by_counting(found, y, seen):
    classes = len(seen)
    share = torch.bincount(y[found == y], minlength=classes) / torch.bincount(y, minlength=classes)
    a, b = share[seen].nanmean(), share[~seen].nanmean()
    return a, b, 2 * a * b / (a + b) if a + b > 0 else torch.tensor(0.0)


def eszsl_by_inverses(x, targets, signatures, gamma, lam):
    left = torch.linalg.inv(x.T @ x + gamma * torch.eye(x.shape[1], dtype=x.dtype))
    right = torch.linalg.inv(signatures.T @ signatures + lam * torch.eye(signatures.shape[1], dtype=x.dtype))
    return left @ x.T @ targets @ signatures @ right


def posterior_by_softplus(logits, table, prior):
    choice = torch.where(table.bool(), -F.softplus(-logits.unsqueeze(1)), -F.softplus(logits.unsqueeze(1)))
    return (choice - torch.where(table.bool(), prior, 1 - prior).log()).sum(-1)


def less_for_seen(scores, seen, factor):
    return torch.where(seen, scores - factor, scores)


@pytest.mark.parametrize(("id", "function"), [
    ("06.generalised_accuracy", accuracies()),
    ("06.generalised_accuracy", accuracies(dtype=torch.float64)),
    ("06.generalised_accuracy", accuracies(lambda a, b: 2 * a * b / (a + b) if a + b else torch.zeros(()))),
    ("06.generalised_accuracy", accuracies_by_counting),
    ("06.calibrated_predict", lambda *given: less_for_seen(*given).max(-1).indices),
    ("06.calibrated_predict", lambda scores, seen, factor: (scores + torch.where(seen, -factor, 0.0)).argmax(-1)),
    ("06.eszsl_solution", eszsl_by_inverses),
    ("06.attribute_log_posterior", posterior_by_softplus),
])
def test_right_answer_in_other_words_is_accepted(id, function):
    assert diagnose(find_exercise(id), function) is None


def posterior_by_probabilities(logits, table, prior):
    chance = logits.sigmoid().unsqueeze(1)
    return (table * (chance / prior).log() + (1 - table) * ((1 - chance) / (1 - prior)).log()).sum(-1)


def accuracies_over_rows(found, y, seen):
    right = (found == y).double()
    a, b = right[seen[y]].mean(), right[~seen[y]].mean()
    return a, b, 2 * a * b / (a + b) if a + b else torch.zeros(())


@pytest.mark.parametrize(("id", "function", "told"), [
    ("06.generalised_accuracy", accuracies_over_rows, "Every row counts alike"),
    ("06.generalised_accuracy", accuracies(lambda a, b: (a + b) / 2), "The arithmetic mean"),
    ("06.generalised_accuracy", accuracies(lambda a, b: a * b / (a + b) if a + b else 0.0), "the factor 2"),
    ("06.generalised_accuracy", accuracies(lambda a, b: 2 * a * b / (a + b)), "0 / 0"),
    ("06.calibrated_predict", lambda scores, seen, factor: (scores - factor * seen).argmax(-1), "∞ · 0 is NaN"),
    ("06.calibrated_predict", lambda *given: less_for_seen(*given).max(-1), "`.indices`"),
    ("06.attribute_log_posterior", posterior_by_probabilities, "at log-odds of 50"),
])
def test_wrong_answer_that_comes_near_is_explained(id, function, told):
    assert told in diagnose(find_exercise(id), function).lines[0]
