import pytest
import torch
from torch.nn import functional as F

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.models.hybrid import Hybrid
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.tasks import Task

TASKS = [Task("purchase"), Task("next", "multiclass", 3), Task("spend", "regression")]
SCHEMA = Schema((5, 4, 3, 6), 2, 1)


def new(views=("collaborative", "content"), pair=(1, 3), **arguments):
    torch.manual_seed(0)
    return Hybrid(SCHEMA, TASKS, pair, views, **{"dim": 3, "widths": (7,), "tower": (5,), **arguments}).double()


@pytest.fixture
def inputs():
    draw = torch.Generator().manual_seed(1)
    ids = torch.stack([torch.randint(size, (20,), generator=draw) for size in SCHEMA.cardinalities], 1)
    return Inputs(ids, torch.randn(20, 2, dtype=torch.float64, generator=draw), torch.zeros(20, dtype=torch.long))


def by_loops(model, inputs, views, pair=(1, 3)):
    """Row by row, field by field."""
    rows = []
    for ids, numbers in zip(inputs.categorical.tolist(), inputs.numeric, strict=True):
        x = []
        if "collaborative" in views:
            table, first = model.ids.table.weight, SCHEMA.cardinalities[pair[0]]
            user, item = table[ids[pair[0]]], table[first + ids[pair[1]]]
            x += [user, item, user * item]
        if "content" in views:
            table, start = model.content.embedding.table.weight, 0
            for place in (place for place in range(4) if place not in pair):
                x.append(table[start + ids[place]])
                start += SCHEMA.cardinalities[place]
            x.append(numbers)
        layer = model.body.layers[0]
        hidden = F.relu(torch.cat(x) @ layer.weight[0] + layer.bias[0])
        outputs, place = [], 0
        for number, task in enumerate(TASKS):
            tower = model.towers.hidden.layers[0]
            deep = F.relu(hidden @ tower.weight[number] + tower.bias[number])
            for _ in range(task.outputs):
                outputs.append(deep @ model.towers.weight[place] + model.towers.bias[place])
                place += 1
        rows.append(torch.stack(outputs))
    return torch.stack(rows)


@pytest.mark.parametrize("views", [("collaborative",), ("content",), ("collaborative", "content")])
def test_hybrid_equals_plain_loops(views, inputs):
    model = new(views)
    found = model(inputs)
    assert [found[task.name].shape for task in TASKS] == [(20,), (20, 3), (20,)]
    joined = torch.cat([found["purchase"].unsqueeze(1), found["next"], found["spend"].unsqueeze(1)], 1)
    torch.testing.assert_close(joined, by_loops(model, inputs, views), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("views", "seen"), [
    (("collaborative",), [False, True, False, True, False]), (("content",), [True, False, True, False, True]),
    (("collaborative", "content"), [True] * 5)])
def test_each_view_looks_at_its_own_columns_alone(views, seen, inputs):
    model = new(views)
    before = model(inputs)["spend"]
    moved = []
    for place, size in enumerate(SCHEMA.cardinalities):
        other = inputs.categorical.clone()
        other[:, place] = (other[:, place] + 1) % size
        moved.append(not torch.equal(model(inputs._replace(categorical=other))["spend"], before))
    moved.append(not torch.equal(model(inputs._replace(numeric=inputs.numeric + 1))["spend"], before))
    assert moved == seen


def test_order_of_the_views_makes_no_difference(inputs):
    one, other = new(("collaborative", "content")), new(("content", "collaborative"))
    torch.testing.assert_close(one(inputs)["spend"], other(inputs)["spend"], rtol=0, atol=0)


def test_reading_what_was_represented_is_the_forward_pass(inputs):
    model = new()
    assert model.represent(inputs).shape == (20, 1, 7)
    found = model.read(model.represent(inputs))
    for name, values in model(inputs).items():
        torch.testing.assert_close(found[name], values, rtol=0, atol=0)


def test_stack_of_hybrids_equals_them_one_by_one(inputs):
    models = [new(), new(widths=(7,))]
    for parameter in models[1].parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    stack = Stacked(models)
    found = stack(Inputs(*(column.expand(2, *column.shape) for column in inputs)))
    for number, model in enumerate(models):
        for name, values in model(inputs).items():
            torch.testing.assert_close(found[name][number], values, rtol=0, atol=1e-12)


def test_pair_of_one_field_is_refused():
    with pytest.raises(ValueError, match="user and item are both field 1: a pair needs two"):
        Hybrid(SCHEMA, TASKS, (1, 1))


@pytest.mark.parametrize("views", [(), ("social",), ("content", "images")])
def test_unknown_view_is_refused(views):
    with pytest.raises(ValueError, match="choose one or both of collaborative, content"):
        new(views)
