import math

import pytest
import torch
from torch import nn

from mtl_tutorial.data.table import Inputs, Table
from mtl_tutorial.fusion.class_logits import class_logits
from mtl_tutorial.fusion.mutual_learning import MutualStudents, MutualTask, mutual_learning_loss, peer_divergence
from mtl_tutorial.inference import mean_losses, outputs_of, predict
from mtl_tutorial.models.aitm import AITM
from mtl_tutorial.models.shared_bottom import SharedBottom
from mtl_tutorial.parameters import named_weights
from mtl_tutorial.repeats import stacked
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

CLICK, SEGMENT = Task("click"), Task("segment", "multiclass", 3)
EXACT = {"rtol": 0, "atol": 1e-12}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(*shape, seed=0, of=3):
    return torch.randint(of, shape, generator=torch.Generator().manual_seed(seed))


def by_loops(logits, targets, weight):
    """Each student's loss, in plain loops over students, peers, rows and classes."""
    students, rows, count = logits.shape
    p = [[[math.exp(z) / sum(math.exp(other) for other in row) for z in row] for row in student]
         for student in logits.tolist()]
    found = []
    for k in range(students):
        total = 0.0
        for b in range(rows):
            total -= math.log(p[k][b][targets[b]])
            for j in range(students):
                if j != k:
                    total += weight / (students - 1) * sum(
                        p[j][b][c] * math.log(p[j][b][c] / p[k][b][c]) for c in range(count))
        found.append(total / rows)
    return torch.tensor(found, dtype=torch.float64)


def students_of(table, tasks, count, seed=0):
    torch.manual_seed(seed)
    return [SharedBottom(table.schema, tasks, widths=(8,)).double() for _ in range(count)]


@pytest.mark.parametrize(("students", "weight"), [(2, 1.0), (3, 0.4), (5, 2.0)])
def test_loss_is_that_of_plain_loops(students, weight):
    logits, targets = 2 * normal(students, 7, 4), classes(7, of=4)
    expected = by_loops(logits, targets, weight)
    torch.testing.assert_close(mutual_learning_loss(logits, targets, weight), expected, **EXACT)


def test_leading_dimensions_are_groups_of_their_own():
    logits, targets = normal(2, 5, 3, 6, 4), classes(2, 5, 6, of=4)
    found = mutual_learning_loss(logits, targets, 0.7)
    for first in range(2):
        for second in range(5):
            alone = mutual_learning_loss(logits[first, second], targets[first, second], 0.7)
            torch.testing.assert_close(found[first, second], alone, **EXACT)


def test_a_student_moves_towards_its_peers_and_never_its_peers_towards_it():
    logits, targets = normal(3, 6, 4).requires_grad_(), classes(6, of=4)
    for k, loss in enumerate(mutual_learning_loss(logits, targets)):
        [gradient] = torch.autograd.grad(loss, logits, retain_graph=True)
        p = logits.detach().softmax(-1)
        others = (p.sum(0) - p[k]) / 2
        wanted = torch.nn.functional.one_hot(targets, 4)
        expected = torch.zeros_like(p)
        expected[k] = ((p[k] - wanted) + (p[k] - others)) / 6       # d CE and d KL(others ‖ k) of logits k
        torch.testing.assert_close(gradient, expected, **EXACT)


def test_weight_0_is_plain_cross_entropy_and_alike_students_have_nothing_to_learn():
    logits, targets = normal(2, 6, 4), classes(6, of=4)
    apart = torch.stack([torch.nn.functional.cross_entropy(student, targets) for student in logits])
    torch.testing.assert_close(mutual_learning_loss(logits, targets, 0.0), apart, **EXACT)
    nothing = torch.zeros(3, 6, dtype=torch.float64)
    torch.testing.assert_close(peer_divergence(logits[:1].expand(3, 6, 4)), nothing, **EXACT)


def test_divergence_stays_finite_where_a_student_is_certain():
    logits = torch.tensor([[[0.0, 800.0]], [[800.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    found = peer_divergence(logits)
    torch.testing.assert_close(found, torch.full((2, 1), 800.0, dtype=torch.float64))
    found.sum().backward()
    assert logits.grad.isfinite().all()


def test_a_binary_logit_is_two_classes():
    logits, targets = normal(2, 9), classes(9, of=2)
    as_classes = mutual_learning_loss(class_logits(CLICK, logits), targets, 0.8).sum()
    rows = MutualTask("click", weight=0.8).row_loss(logits.T, targets.double())
    torch.testing.assert_close(rows.mean(), as_classes, **EXACT)


def test_row_losses_of_classes_sum_the_students_losses():
    logits, targets = normal(4, 3, 9, 3), classes(4, 9)
    rows = MutualTask("segment", "multiclass", 3, weight=0.8).row_loss(logits.transpose(1, 2), targets)
    torch.testing.assert_close(rows.mean(-1), mutual_learning_loss(logits, targets, 0.8).sum(-1), **EXACT)


def test_every_repeat_may_have_its_own_weight():
    logits, targets = normal(2, 9, 3), classes(2, 9, of=2).double()
    rows = MutualTask("click", weight=(0.0, 0.6)).row_loss(logits, targets)
    for repeat, weight in enumerate((0.0, 0.6)):
        alone = MutualTask("click", weight=weight).row_loss(logits[repeat], targets[repeat])
        torch.testing.assert_close(rows[repeat], alone, **EXACT)
    with pytest.raises(ValueError, match="give one weight for each repeat"):
        MutualTask("click", weight=(0.1, 0.2, 0.3)).row_loss(logits, targets)


@pytest.mark.parametrize("repeats", [None, 2])
def test_students_emit_side_by_side_what_each_emits(repeats, mixed_table, mixed_tasks):
    table = mixed_table(30, dtype=torch.float64)
    models = students_of(table, mixed_tasks, 3 * (repeats or 1))
    group = MutualStudents(models, repeats)
    rows = table if repeats is None else table.repeat(repeats)
    for task in mixed_tasks:
        found = outputs_of(group, rows)[task.name]
        found = found.unsqueeze(0) if repeats is None else found                        # [R, N, S, …]
        for r in range(repeats or 1):
            for s in range(3):
                alone = outputs_of(models[3 * r + s], table)[task.name]
                torch.testing.assert_close(found[r, :, s], alone, **EXACT)


def test_prediction_is_the_students_mean_probability(mixed_table):
    table = mixed_table(30, dtype=torch.float64)
    tasks = [MutualTask("click"), MutualTask("segment", "multiclass", 3)]
    models = students_of(table, tasks, 2)
    found = predict(MutualStudents(models), table, tasks)
    each = [predict(model, table, [CLICK, SEGMENT]) for model in models]
    for task in tasks:
        torch.testing.assert_close(found[task.name], (each[0][task.name] + each[1][task.name]) / 2, **EXACT)


def test_with_weight_0_students_learn_as_if_trained_apart(mixed_table):
    table = mixed_table(120, dtype=torch.float64)
    models, knobs = students_of(table, [CLICK], 3), {"epochs": 2, "batch_size": 40, "lr": 0.01, "device": "cpu"}
    group = MutualStudents(models)
    fit(group, table, [MutualTask("click", weight=0.0)], **knobs)
    for model, together in zip(models, group.stack.models(), strict=True):
        fit(model, table, [CLICK], **knobs)
        for name, value in model.named_parameters():
            torch.testing.assert_close(dict(together.named_parameters())[name], value, rtol=0, atol=1e-9)


def test_groups_of_repeats_learn_as_if_each_were_alone(mixed_table, monkeypatch):
    in_order = Table.batches
    monkeypatch.setattr(Table, "batches", lambda table, size, generator=None: in_order(table, size))
    tables = [mixed_table(120, seed=seed, dtype=torch.float64) for seed in (0, 1)]
    models, knobs = students_of(tables[0], [CLICK], 4), {"epochs": 2, "batch_size": 40, "lr": 0.01, "device": "cpu"}
    together = MutualStudents(models, repeats=2)
    fit(together, Table.stack(tables), [MutualTask("click", weight=(0.5, 2.0))], **knobs)
    for r, weight in enumerate((0.5, 2.0)):
        alone = MutualStudents(models[2 * r:2 * r + 2])
        fit(alone, tables[r], [MutualTask("click", weight=weight)], **knobs)
        for name, value in named_weights(alone).items():
            torch.testing.assert_close(named_weights(together)[name][2 * r:2 * r + 2], value, rtol=0, atol=1e-9)


def test_the_stronger_the_weight_the_more_students_agree(mixed_table):
    table, apart = mixed_table(200, dtype=torch.float64), []
    for weight in (0.0, 1.0, 10.0):
        group = MutualStudents(students_of(table, [CLICK], 2))
        fit(group, table, [MutualTask("click", weight=weight)], epochs=20, batch_size=50, lr=0.01, device="cpu")
        first, second = outputs_of(group, table)["click"].sigmoid().unbind(-1)
        apart.append((first - second).square().mean().item())
    assert apart[0] > 2 * apart[1] > 4 * apart[2] > 0


def test_rows_without_a_label_teach_nothing(mixed_table):
    table = mixed_table(60, dtype=torch.float64)
    seen = torch.arange(60) < 40
    hidden = table.with_targets({"click": table.targets["click"]}, {"click": seen})
    group = MutualStudents(students_of(table, [CLICK], 2))
    labelled = mean_losses(group, table.take(slice(0, 40)), [MutualTask("click")])
    torch.testing.assert_close(mean_losses(group, hidden, [MutualTask("click")]), labelled, **EXACT)


def test_penalties_of_the_architecture_are_kept(mixed_table):
    chain = [Task("click"), Task("purchase")]
    table = mixed_table(30, dtype=torch.float64)
    torch.manual_seed(0)
    models = [AITM(table.schema, chain).double() for _ in range(4)]
    expected = torch.stack([model.penalty(model(table.inputs)) for model in models])
    for repeats, rows in ((None, table), (2, table.repeat(2))):
        group = MutualStudents(models, repeats)
        torch.testing.assert_close(group.penalty(group(rows.inputs)), expected, **EXACT)


def test_one_student_has_no_peer():
    with pytest.raises(ValueError, match="one student: mutual learning needs at least two"):
        mutual_learning_loss(normal(1, 5, 3), classes(5))
    with pytest.raises(ValueError, match=r"1 models for 1 group\(s\): each group needs"):
        MutualStudents([nn.Linear(1, 1)])
    with pytest.raises(ValueError, match=r"3 models for 2 group\(s\): each group needs as many students"):
        MutualStudents([nn.Linear(1, 1) for _ in range(3)], repeats=2)


def test_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"expected \[…, students, rows, classes\] and \[…, rows\]"):
        mutual_learning_loss(normal(2, 5, 3), classes(4))
    with pytest.raises(ValueError, match=r"expected \[…, students, rows, classes\]"):
        peer_divergence(normal(5, 3))


def test_refuses_a_regression_and_a_negative_weight():
    with pytest.raises(ValueError, match="'spend' is a regression"):
        MutualTask("spend", "regression")
    with pytest.raises(ValueError, match=r"weight -1\.0 must not be negative"):
        MutualTask("click", weight=-1.0)
    with pytest.raises(ValueError, match="must not be negative"):
        MutualTask("click", weight=(1.0, -0.5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_students_train_on_a_gpu(mixed_table):
    table = mixed_table(60)
    group = MutualStudents(stacked(lambda: SharedBottom(table.schema, [CLICK], widths=(8,)), 2, 0).models())
    fit(group, table, [MutualTask("click", weight=0.5)], epochs=1, device="cuda")
    assert group(Inputs(*(column.cuda() for column in table.inputs)))["click"].device.type == "cuda"
