import math

import pytest
import torch

from mtl_tutorial.balancing.scalarizer import StaticWeights
from mtl_tutorial.fusion.class_logits import class_logits
from mtl_tutorial.fusion.distillation import (
    SoftTask,
    Student,
    distillation_loss,
    soft_label_loss,
    soft_name,
    with_teacher,
)
from mtl_tutorial.inference import mean_losses, outputs_of
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.parameters import named_weights
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

CLICK, SEGMENT = Task("click"), Task("segment", "multiclass", 3)
EXACT = {"rtol": 0, "atol": 1e-12}
KNOBS = {"batch_size": 40, "lr": 0.01, "device": "cpu"}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softened(row, temperature):
    powers = [math.exp(z / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def by_loops(logits, teacher, targets, temperature, weight):
    """The loss in plain loops over rows and classes."""
    total = 0.0
    for row, wise, target in zip(logits.tolist(), teacher.tolist(), targets.tolist(), strict=True):
        p, q = softened(wise, temperature), softened(row, temperature)
        soft = temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        total += (1 - weight) * -math.log(softened(row, 1)[target]) + weight * soft
    return torch.tensor(total / len(logits), dtype=torch.float64)


def model_of(table, tasks, seed=0):
    torch.manual_seed(seed)
    return SharedBottom(table.schema, tasks, widths=(8,)).double()


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 0.5), (3.0, 0.9), (0.5, 0.0), (2.0, 1.0)])
def test_loss_is_that_of_plain_loops(temperature, weight):
    logits, teacher, targets = normal(8, 4), normal(8, 4, seed=1), torch.arange(8) % 4
    torch.testing.assert_close(distillation_loss(logits, teacher, targets, temperature, weight),
                               by_loops(logits, teacher, targets, temperature, weight), **EXACT)


def test_leading_dimensions_are_repeats():
    logits, teacher, targets = normal(3, 8, 4), normal(3, 8, 4, seed=1), torch.arange(24).view(3, 8) % 4
    found = distillation_loss(logits, teacher, targets, 2.0, 0.3)
    for r in range(3):
        alone = distillation_loss(logits[r], teacher[r], targets[r], 2.0, 0.3)
        torch.testing.assert_close(found[r], alone, **EXACT)


def test_gradient_is_the_temperature_times_the_difference_of_softened_probabilities():
    logits, teacher = normal(8, 4).requires_grad_(), normal(8, 4, seed=1).requires_grad_()
    soft_label_loss(logits, teacher, 3.0).sum().backward()
    expected = 3.0 * ((logits.detach() / 3).softmax(-1) - (teacher.detach() / 3).softmax(-1))
    torch.testing.assert_close(logits.grad, expected, **EXACT)
    assert teacher.grad is None


def test_at_a_high_temperature_the_student_matches_centred_logits():
    """Hinton et al., equation 4: with T² in front the gradient tends to (z − v) / C, both centred."""
    logits, teacher = normal(8, 4).requires_grad_(), normal(8, 4, seed=1)
    soft_label_loss(logits, teacher, 1e4).sum().backward()
    apart = logits.detach() - teacher
    torch.testing.assert_close(logits.grad, (apart - apart.mean(-1, keepdim=True)) / 4, rtol=0, atol=1e-3)


def test_a_student_that_agrees_has_nothing_to_learn():
    logits = normal(8, 4)
    nothing = torch.zeros(8, dtype=torch.float64)
    torch.testing.assert_close(soft_label_loss(logits + 5, logits, 2.0), nothing, **EXACT)


def test_a_certain_teacher_at_temperature_1_is_a_hard_label():
    logits, targets = normal(8, 4), torch.arange(8) % 4
    certain = 1000.0 * torch.nn.functional.one_hot(targets, 4).double()
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(soft_label_loss(logits, certain, 1.0), expected, **EXACT)


def test_soft_tasks_read_one_logit_or_several():
    logits, teacher = normal(8), normal(8, seed=1)
    as_classes = soft_label_loss(class_logits(CLICK, logits), class_logits(CLICK, teacher), 3.0)
    torch.testing.assert_close(SoftTask.of(CLICK, 3.0).row_loss(logits, teacher), as_classes, **EXACT)
    logits, teacher = normal(8, 3), normal(8, 3, seed=1)
    torch.testing.assert_close(SoftTask.of(SEGMENT, 3.0).row_loss(logits, teacher),
                               soft_label_loss(logits, teacher, 3.0), **EXACT)


def test_a_softened_binary_logit_is_a_sigmoid_at_that_temperature():
    logits, teacher = normal(8), normal(8, seed=1)
    p, q = (teacher / 3).sigmoid(), (logits / 3).sigmoid()
    expected = 9 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log())
    torch.testing.assert_close(SoftTask.of(CLICK, 3.0).row_loss(logits, teacher), expected, **EXACT)


@pytest.mark.parametrize("repeats", [None, 2])
def test_fit_descends_the_weighted_loss(repeats, mixed_table):
    table = mixed_table(40, dtype=torch.float64)
    model = model_of(table, [SEGMENT])
    wise = outputs_of(model_of(table, [SEGMENT], seed=1), table)
    loss = distillation_loss(model(table.inputs)["segment"], wise["segment"], table.targets["segment"], 2.0, 0.25)
    named = dict(model.named_parameters())
    expected = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
    taught = with_teacher(table, wise)
    student = Student(model if repeats is None else Stacked([model] * repeats), [SEGMENT])
    StaticWeights([0.75, 0.25]).backward(student, [SEGMENT, SoftTask.of(SEGMENT, 2.0)],
                                         taught if repeats is None else taught.repeat(repeats))
    for name, parameter in named_weights(student.model).items():
        found = parameter.grad if repeats is None else parameter.grad[-1]
        torch.testing.assert_close(found, expected[name], **EXACT)


def test_students_are_trained_in_place_and_come_nearer_to_the_teacher(mixed_table):
    table = mixed_table(120, dtype=torch.float64)
    model, teacher = model_of(table, [CLICK]), model_of(table, [CLICK], seed=1)
    fit(teacher, table, [CLICK], epochs=20, **KNOBS)
    wise = outputs_of(teacher, table)
    soft = SoftTask.of(CLICK)
    taught, student = with_teacher(table, wise), Student(model, [CLICK])
    before = mean_losses(student, taught, [soft])
    fit(student, taught, [CLICK, soft], StaticWeights([0.0, 1.0]), epochs=20, **KNOBS)
    assert mean_losses(student, taught, [soft]) < 0.1 * before
    torch.testing.assert_close(outputs_of(model, table)["click"], outputs_of(student, table)["click"], **EXACT)


def test_rows_whose_label_is_hidden_are_learned_from_the_teacher_alone(mixed_table):
    table = mixed_table(60, dtype=torch.float64)
    hidden = table.with_targets({"click": table.targets["click"]}, {"click": torch.arange(60) < 20})
    other = torch.where(torch.arange(60) < 20, table.targets["click"], 1 - table.targets["click"])
    soft, found = SoftTask.of(CLICK), []
    for targets in (table.targets["click"], other):
        model = model_of(table, [CLICK])
        taught = with_teacher(hidden.with_targets({"click": targets}, hidden.masks), {"click": normal(60)})
        fit(Student(model, [CLICK]), taught, [CLICK, soft], epochs=2, **KNOBS)
        found.append(outputs_of(model, table)["click"])
    assert torch.equal(*found)
    moved = with_teacher(hidden, {"click": normal(60) + (torch.arange(60) >= 20)})
    model = model_of(table, [CLICK])
    fit(Student(model, [CLICK]), moved, [CLICK, soft], epochs=2, **KNOBS)
    assert (outputs_of(model, table)["click"] - found[0]).abs().max() > 1e-3


def test_a_teacher_leaves_the_labels_and_masks_as_they_are(mixed_table):
    table = mixed_table(10)
    taught = with_teacher(table, {"click": torch.zeros(10)})
    assert set(taught.targets) == {*table.targets, soft_name("click")}
    assert all(torch.equal(taught.targets[name], value) for name, value in table.targets.items())
    assert taught.masks["spend"] is table.masks["spend"]
    assert taught.mask(soft_name("click")).all()


def test_a_student_keeps_the_repeats_and_penalty_of_its_model(mixed_table):
    table = mixed_table(10)
    stack = Stacked([SharedBottom(table.schema, [CLICK]) for _ in range(3)])
    assert Student(stack, [CLICK]).repeats == 3
    assert not hasattr(Student(SharedBottom(table.schema, [CLICK]), [CLICK]), "penalty")


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match=r"temperature=.* must be positive"):
        soft_label_loss(normal(4, 3), normal(4, 3), temperature)
    with pytest.raises(ValueError, match="must be positive"):
        SoftTask.of(CLICK, temperature)


def test_refuses_shapes_weights_and_kinds_that_do_not_fit(mixed_table):
    with pytest.raises(ValueError, match="same rows and classes"):
        soft_label_loss(normal(4, 3), normal(4, 1), 1.0)
    with pytest.raises(ValueError, match=r"expected \[…, rows, classes\] and \[…, rows\]"):
        distillation_loss(normal(4, 3), normal(4, 3), torch.zeros(3, dtype=torch.long), 1.0, 0.5)
    with pytest.raises(ValueError, match=r"weight=1\.5 of the soft labels is outside"):
        distillation_loss(normal(4, 3), normal(4, 3), torch.zeros(4, dtype=torch.long), 1.0, 1.5)
    with pytest.raises(ValueError, match=r"'spend\.teacher' is a regression"):
        SoftTask.of(Task("spend", "regression"))
    with pytest.raises(ValueError, match=r"teacher's logits of 'click' have shape \[9\]"):
        with_teacher(mixed_table(10), {"click": torch.zeros(9)})
