import pytest
import torch
from torch.nn.functional import normalize

from mtl_tutorial.zero_shot.described_prototypes import described_prototypes, left_out_accuracy

CLASSES, WIDTH = 4, 6


@pytest.fixture
def drawn():
    """Descriptions [4, 6], and three draws of ten examples [3, 10, 6] with their classes [3, 10]."""
    generator = torch.Generator().manual_seed(0)
    descriptions = normalize(torch.randn(CLASSES, WIDTH, generator=generator, dtype=torch.float64), dim=-1)
    examples = normalize(torch.randn(3, 10, WIDTH, generator=generator, dtype=torch.float64), dim=-1)
    labels = torch.randint(CLASSES, (3, 10), generator=generator)
    labels[0] = labels[0].clamp(max=2)                                      # class 3 has no example in this draw
    return descriptions, examples, labels


def by_loops(descriptions, examples, labels, weight):
    """The prototypes of one draw, class by class."""
    found = []
    for number, description in enumerate(descriptions):
        total = weight * description
        for example, label in zip(examples, labels, strict=True):
            if label == number:
                total = total + example
        found.append(total / total.norm())
    return torch.stack(found)


@pytest.mark.parametrize("weight", [0.5, 1.0, 4.0])
def test_prototypes_are_those_of_a_plain_loop(drawn, weight):
    descriptions, examples, labels = drawn
    loops = torch.stack([by_loops(descriptions, some, theirs, weight)
                         for some, theirs in zip(examples, labels, strict=True)])
    torch.testing.assert_close(described_prototypes(descriptions, examples, labels, weight), loops)


def test_class_without_examples_keeps_its_description(drawn):
    descriptions, examples, labels = drawn
    torch.testing.assert_close(described_prototypes(descriptions, examples, labels, 2.0)[0, 3], descriptions[3])


def test_without_examples_a_class_is_its_description(drawn):
    descriptions = drawn[0]
    found = described_prototypes(descriptions, descriptions[:0], torch.empty(0, dtype=torch.long))
    torch.testing.assert_close(found, descriptions)


def test_without_weight_a_class_is_the_mean_of_its_examples(drawn):
    descriptions, examples, labels = (part[1] if place else part for place, part in enumerate(drawn))
    found = described_prototypes(descriptions, examples, labels, 0)
    means = torch.stack([examples[labels == number].mean(0) for number in range(CLASSES)])
    torch.testing.assert_close(found, normalize(means, dim=-1))


def test_class_with_neither_description_nor_example_is_named(drawn):
    with pytest.raises(ValueError, match="class 3 has no example, and with weight 0 no description"):
        described_prototypes(*drawn, 0)


@pytest.mark.parametrize("function", [described_prototypes, left_out_accuracy])
def test_negative_weight_is_refused(drawn, function):
    with pytest.raises(ValueError, match="weight=-1: a description counts as 0 examples or more"):
        function(*drawn, -1)


@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_left_out_accuracy_is_that_of_leaving_out_one_example_after_another(drawn, weight):
    descriptions, examples, labels = drawn
    for some, theirs, found in zip(examples, labels, left_out_accuracy(*drawn, weight), strict=True):
        right = []
        for place in range(len(some)):
            others = torch.arange(len(some)) != place
            without, with_it = (by_loops(descriptions, some[rows], theirs[rows], weight)
                                for rows in (others, slice(None)))
            rivals = with_it.clone()
            rivals[theirs[place]] = without[theirs[place]]                  # its own class alone forgets it
            right.append(((rivals @ some[place]).argmax() == theirs[place]).item())
        assert found.item() == pytest.approx(sum(right) / len(right))
    assert 0 < left_out_accuracy(*drawn, weight).mean() < 1


def test_only_example_left_out_leaves_nothing_where_the_description_has_no_weight():
    examples = torch.eye(3)
    assert left_out_accuracy(torch.eye(3), examples, torch.arange(3), 0.0) < 1
    assert left_out_accuracy(torch.eye(3), examples, torch.arange(3), 1.0) == 1
