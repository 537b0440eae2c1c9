import pytest
import torch

from mtl_tutorial.meta.episodes import validate
from mtl_tutorial.meta.task_pool import TaskPool

SIZES = (7, 12, 9)


def pool(grouped=True):
    """Tasks whose rows say which task they are of and their own number; classes by turns."""
    xs = [torch.stack([torch.full((n,), task), torch.arange(n)], -1).float() for task, n in enumerate(SIZES)]
    ys = [torch.arange(n) % 3 for n in SIZES]
    return TaskPool(xs, ys, ys if grouped else None)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("grouped", [True, False])
def test_every_row_of_a_task_is_in_support_or_query_once(grouped):
    tasks = torch.tensor([2, 0, 1, 0])
    episodes = pool(grouped).draw(tasks, 2, generator())
    validate(episodes, classes=3 if grouped else None)
    for place, task in enumerate(tasks.tolist()):
        kept = episodes.query_x[place][episodes.query_mask[place]]
        rows = torch.cat([episodes.support_x[place], kept])
        assert (rows[:, 0] == task).all()
        assert rows[:, 1].sort().values.tolist() == list(range(SIZES[task]))
        y = torch.cat([episodes.support_y[place], episodes.query_y[place][episodes.query_mask[place]]])
        assert torch.equal(y, rows[:, 1].long() % 3)


def test_support_holds_as_many_rows_of_each_class():
    episodes = pool().draw(torch.tensor([0, 1, 2]), 2, generator())
    assert torch.bincount(episodes.support_y.flatten()).tolist() == [6, 6, 6]
    assert episodes.support_x.shape == (3, 6, 2)
    assert pool(grouped=False).draw(torch.tensor([0, 1]), 2, generator()).support_x.shape == (2, 2, 2)


def test_every_row_comes_to_the_support_equally_often():
    drawn = pool().draw(torch.zeros(4000, dtype=torch.long), 1, generator()).support_x[..., 1].long()
    counts = torch.bincount(drawn.flatten(), minlength=7)
    expected = 4000 / torch.tensor([3, 2, 2, 3, 2, 2, 3])       # rows of the class
    assert ((counts - expected).abs() / expected.sqrt()).max() < 4


def test_a_task_with_too_few_rows_of_a_class_is_named():
    with pytest.raises(ValueError, match="task 0 has 2 rows of class 1; its support needs 3"):
        pool().draw(torch.tensor([1, 0]), 3, generator())


def test_a_task_whose_rows_would_all_go_to_the_support_is_named():
    rows = [torch.zeros(5, 2), torch.zeros(3, 2)]
    with pytest.raises(ValueError, match="task 1: its support would take all 3 rows, none is left to be judged on"):
        TaskPool(rows, rows).draw(torch.tensor([0, 1]), 3, generator())


def test_inputs_and_targets_of_different_length_are_refused():
    rows, fewer = [torch.zeros(5, 2), torch.zeros(3, 2)], [torch.zeros(5), torch.zeros(2)]
    with pytest.raises(ValueError, match=r"\[5, 3\] rows of inputs, but \[5, 2\] of targets"):
        TaskPool(rows, fewer)
    with pytest.raises(ValueError, match=r"\[5, 3\] rows of inputs, but \[5, 2\] of groups"):
        TaskPool(rows, rows, [part.long() for part in fewer])
