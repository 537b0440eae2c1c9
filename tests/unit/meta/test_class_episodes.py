import pytest
import torch

from mtl_tutorial.meta.class_episodes import ClassEpisodes, draw_without_replacement, split_classes
from mtl_tutorial.meta.episodes import validate

COUNTS = [9, 7, 12, 8]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def source():
    """Rows whose feature is (class, number of the row), in random order."""
    labels = torch.arange(4).repeat_interleave(torch.tensor(COUNTS))
    order = torch.randperm(len(labels), generator=generator(9))
    return ClassEpisodes(torch.stack([labels, torch.arange(len(labels))], -1)[order], labels[order])


def test_every_row_belongs_to_the_class_its_number_stands_for():
    episodes = source().draw(50, ways=3, shots=2, queries=4, generator=generator())
    validate(episodes, classes=3)
    assert episodes.support_x.shape == (50, 6, 2)
    assert episodes.query_x.shape == (50, 12, 2)
    for task in range(50):
        of_number = {}
        for x, y in ((episodes.support_x, episodes.support_y), (episodes.query_x, episodes.query_y)):
            for (label, _), number in zip(x[task].tolist(), y[task].tolist(), strict=True):
                assert of_number.setdefault(number, label) == label
        assert len(set(of_number.values())) == 3


def test_no_row_occurs_twice_in_a_task():
    episodes = source().draw(200, ways=4, shots=3, queries=4, generator=generator())
    rows = torch.cat([episodes.support_x, episodes.query_x], 1)[..., 1].sort(1).values
    assert (rows.diff(dim=1) > 0).all()


def test_all_classes_and_rows_are_drawn_equally_often():
    episodes = source().draw(6000, ways=2, shots=1, queries=1, generator=generator())
    for x in (episodes.support_x, episodes.query_x):
        classes = torch.bincount(x[..., 0].flatten(), minlength=4) / 12000
        torch.testing.assert_close(classes, torch.full((4,), 0.25), rtol=0, atol=0.02)
        rows = torch.bincount(x[..., 1].flatten(), minlength=sum(COUNTS)).float()
        expected = torch.repeat_interleave(3000 / torch.tensor(COUNTS), torch.tensor(COUNTS))
        assert ((rows - expected).abs() / expected.sqrt()).max() < 4.5


def test_numbers_are_given_to_a_tasks_classes_at_random():
    episodes = source().draw(6000, ways=2, shots=1, queries=1, generator=generator())
    first, second = episodes.support_x[..., 0].unbind(1)            # the class that has number 0, and number 1
    assert (first < second).float().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / 6000 ** 0.5)


def test_tasks_draw_from_their_own_classes():
    among = torch.tensor([[0, 1], [2, 3], [1, 3]])
    episodes = source().draw(3, ways=2, shots=1, queries=2, generator=generator(), among=among)
    for task in range(3):
        assert set(episodes.query_x[task, :, 0].tolist()) == set(among[task].tolist())


@pytest.mark.parametrize(("asked", "message"), [
    ({"ways": 5}, "5-way tasks need 5 classes, there are 4"),
    ({"ways": 3, "among": [0, 1]}, "3-way tasks need 3 classes, there are 2"),
    ({"shots": 3, "queries": 5}, "class 1 has 7 rows; 3 support and 5 query rows need 8"),
    ({"shots": 0}, "shots=0"),
    ({"among": [0, 4]}, r"among names classes 0 … 4; there are 0 … 3"),
    ({"among": [0, 1, 1]}, "among names a class twice"),
    ({"among": torch.zeros(2, 3, dtype=torch.long)}, r"among must be class numbers, \[A\] or \[6, A\]"),
])
def test_impossible_tasks_are_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        source().draw(**{"tasks": 6, "ways": 2, "shots": 1, "queries": 1, "generator": generator(), **asked})


def test_a_short_class_is_no_error_where_it_cannot_occur():
    episodes = source().draw(4, ways=2, shots=3, queries=5, generator=generator(), among=[0, 2, 3])
    assert 1 not in episodes.query_x[..., 0]


def test_features_and_labels_must_fit():
    with pytest.raises(ValueError, match="labels must be integers, one per row"):
        ClassEpisodes(torch.zeros(4, 2), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="labels must be integers"):
        ClassEpisodes(torch.zeros(4, 2), torch.zeros(4))
    with pytest.raises(ValueError, match="no class below 0"):
        ClassEpisodes(torch.zeros(2, 2), torch.tensor([0, -1]))


def test_every_ordered_sample_is_as_likely_as_any_other():
    found = draw_without_replacement(torch.full((24_000,), 4), 3, generator())
    assert found.sort(1).values.diff(dim=1).min() > 0
    number, count = torch.unique(found @ torch.tensor([16, 4, 1]), return_counts=True)
    assert len(number) == 24
    assert ((count - 1000).abs() / 1000 ** 0.5).max() < 4


def test_sets_of_classes_are_disjoint():
    parts = split_classes(10, [5, 2, 3], generator())
    assert [len(part) for part in parts] == [5, 2, 3]
    assert torch.cat(parts).sort().values.tolist() == list(range(10))
    with pytest.raises(ValueError, match=r"sets of \[6, 5\] classes need 11, there are 10"):
        split_classes(10, [6, 5], generator())
