import pytest
import torch

from mtl_tutorial.meta.episodes import Episodes, all_rows, validate


def episodes(tasks=2, support=3, query=4, **changed):
    parts = {"support_x": torch.zeros(tasks, support, 5), "support_y": torch.arange(support).repeat(tasks, 1) % 3,
             "query_x": torch.zeros(tasks, query, 5), "query_y": torch.arange(query).repeat(tasks, 1) % 3}
    return Episodes(**{**parts, **changed})


def test_episodes_in_order_pass():
    given = episodes(support_mask=torch.ones(2, 3, dtype=torch.bool))
    assert validate(given, classes=3) is given


@pytest.mark.parametrize(("changed", "message"), [
    ({"support_x": torch.zeros(2, 4, 5)}, r"support_x has shape \[2, 4, 5\], support_y \[2, 3\]"),
    ({"query_y": torch.zeros(4)}, r"query_x has shape \[2, 4, 5\], query_y \[4\]"),
    ({"support_x": torch.zeros(2, 0, 5), "support_y": torch.zeros(2, 0)}, "the support set is empty"),
    ({"query_x": torch.zeros(2, 0, 5), "query_y": torch.zeros(2, 0)}, "the query set is empty"),
    ({"query_x": torch.zeros(3, 4, 5), "query_y": torch.zeros(3, 4)}, "support_x has 2 tasks, query_x 3"),
    ({"query_x": torch.zeros(2, 4, 6)}, r"a row of support_x has shape \[5\], a row of query_x \[6\]"),
    ({"query_y": torch.zeros(2, 4, 1)}, r"a row of support_y has shape \[\], a row of query_y \[1\]"),
    ({"support_mask": torch.ones(2, 3)}, r"support_mask is torch.float32 \[2, 3\], must be torch.bool \[2, 3\]"),
    ({"support_mask": torch.ones(2, 4, dtype=torch.bool)}, r"must be torch.bool \[2, 3\]"),
    ({"query_mask": torch.tensor([[True] * 4, [False] * 4])}, "task 1 has no query row that counts"),
])
def test_shapes_that_do_not_fit_are_named(changed, message):
    with pytest.raises(ValueError, match=message):
        validate(episodes(**changed))


@pytest.mark.parametrize(("changed", "message"), [
    ({"support_y": torch.tensor([[0, 1, 2], [0, 2, 2]])}, "support set of task 1 has no row of class 1"),
    ({"support_mask": torch.tensor([[True, True, False], [True] * 3])}, "set of task 0 has no row of class 2"),
    ({"query_y": torch.full((2, 4), 3)}, "query_y holds classes 3 … 3, outside 0 … 2"),
    ({"support_y": torch.tensor([[0, 1, -1], [0, 1, 2]])}, "support_y holds classes -1 … 2, outside 0 … 2"),
    ({"support_y": torch.zeros(2, 3)}, "support_y must hold class numbers"),
])
def test_classes_that_are_missing_or_unknown_are_named(changed, message):
    with pytest.raises(ValueError, match=message):
        validate(episodes(**changed), classes=3)


def test_a_class_outside_is_no_error_in_a_row_that_does_not_count():
    mask = torch.tensor([[True, True, True, False]] * 2)
    validate(episodes(query_y=torch.tensor([[0, 1, 2, -100]] * 2), query_mask=mask), classes=3)


def test_join_puts_repeats_behind_one_another():
    parts = [episodes(query_y=torch.full((2, 4), r)) for r in range(3)]
    joined = Episodes.join(parts)
    assert joined.tasks == 6
    assert joined.query_y[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert joined.support_mask is None


def test_join_refuses_a_mask_in_some_parts_and_other_sizes():
    masked = episodes(support_mask=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="support_mask differs between the batches"):
        Episodes.join([episodes(), masked])
    with pytest.raises(ValueError, match="query_x differs between the batches"):
        Episodes.join([episodes(), episodes(query=5)])


def test_all_rows_holds_support_then_query_and_fills_a_missing_mask():
    x, y, mask = all_rows(episodes(query_y=torch.full((2, 4), 9)))
    assert x.shape == (2, 7, 5)
    assert y[0].tolist() == [0, 1, 2, 9, 9, 9, 9]
    assert mask is None
    mask = all_rows(episodes(query_mask=torch.tensor([[True, True, False, False]] * 2)))[2]
    assert mask[1].tolist() == [True] * 5 + [False] * 2


def test_to_gives_a_dtype_to_numbers_and_leaves_classes_and_masks():
    moved = episodes(query_mask=torch.ones(2, 4, dtype=torch.bool)).to(torch.float64)
    assert moved.support_x.dtype == torch.float64
    assert moved.support_y.dtype == torch.int64
    assert moved.query_mask.dtype == torch.bool


def test_take_keeps_tasks_together():
    some = episodes(tasks=3, query_y=torch.arange(3).repeat_interleave(4).view(3, 4)).take(torch.tensor([2, 0]))
    assert some.query_y[:, 0].tolist() == [2, 0]
    assert some.support_x.shape == (2, 3, 5)
