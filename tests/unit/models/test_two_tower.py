import pytest
import torch

from mtl_tutorial.data.table import Inputs, Schema, Table
from mtl_tutorial.models.stacked import Stacked
from mtl_tutorial.models.two_tower import Columns, TwoTower
from mtl_tutorial.training import fit
from mtl_tutorial.zero_shot.info_nce import InBatchSoftmax, item_shares

SCHEMA = Schema((6, 5, 4, 3), 3, 1)         # user, item, category, age band; price, quality, position
USER, ITEM = Columns([0, 3]), Columns([1, 2], [0, 1])


def inputs_of(rows=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(size, (rows,), generator=generator) for size in SCHEMA.cardinalities]
    numbers = torch.randn(rows, 3, generator=generator)
    return Inputs(torch.stack(ids, 1), numbers, torch.zeros(rows, dtype=torch.long))


def model_of(seed=0, **settings):
    torch.manual_seed(seed)
    return TwoTower(SCHEMA, USER, ITEM, dim=4, widths=(8,), outputs=5, **settings)


def changed(inputs, categorical=(), numeric=()):
    """The same rows with other values in some columns."""
    ids, numbers = inputs.categorical.clone(), inputs.numeric.clone()
    for place in categorical:
        ids[:, place] = (ids[:, place] + 1) % SCHEMA.cardinalities[place]
    for place in numeric:
        numbers[:, place] += 1
    return Inputs(ids, numbers, inputs.scenario)


def test_score_of_a_pair_is_the_cosine_of_its_vectors_over_the_temperature():
    model, inputs = model_of(temperature=0.25).eval(), inputs_of()
    scores = model(inputs)["item"]
    users, items = model.user(inputs), model.item(inputs)
    for i in range(9):
        for j in range(9):
            cosine = torch.cosine_similarity(users[i], items[j], dim=0)
            torch.testing.assert_close(scores[i, j], cosine / 0.25, rtol=0, atol=1e-5)


def test_vectors_without_unit_length_meet_in_their_plain_product():
    model, inputs = model_of(unit=False, temperature=1.0), inputs_of()
    torch.testing.assert_close(model(inputs)["item"], model.user(inputs) @ model.item(inputs).T)


def test_no_tower_reads_the_other_towers_columns():
    model, inputs = model_of().eval(), inputs_of()
    users, items = model.user_vectors(inputs), model.item_vectors(inputs)
    assert torch.equal(model.user_vectors(changed(inputs, [1, 2], [0, 1, 2])), users)
    assert torch.equal(model.item_vectors(changed(inputs, [0, 3], [2])), items)


@pytest.mark.parametrize(("categorical", "numeric", "which"), [
    ([0], [], "user"), ([3], [], "user"), ([1], [], "item"), ([2], [], "item"), ([], [0], "item"),
    ([], [1], "item")])
def test_every_tower_reads_all_columns_of_its_own(categorical, numeric, which):
    model, inputs = model_of().eval(), inputs_of()
    vectors = getattr(model, f"{which}_vectors")
    other = vectors(changed(inputs, categorical, numeric))
    assert not torch.isclose(vectors(inputs), other, atol=1e-6).all(1).any()


def test_items_of_equal_content_have_one_vector_however_new_their_ids_are():
    torch.manual_seed(0)
    model, inputs = TwoTower(SCHEMA, USER, Columns([2], [0, 1])).eval(), inputs_of()
    assert torch.equal(model.item_vectors(changed(inputs, [1])), model.item_vectors(inputs))


def test_learned_temperature_gets_a_gradient_and_a_given_one_is_no_parameter():
    model = model_of(temperature=None)
    model(inputs_of())["item"].square().sum().backward()
    assert model.log_scale.grad != 0
    assert "log_scale" not in dict(model_of().named_parameters())


def test_hidden_id_is_not_read_and_the_rest_is():
    model, inputs = model_of(id_dropout=0.5).eval(), inputs_of()
    hidden = torch.zeros(9, dtype=torch.bool)
    items = model.item_vectors(inputs, known=hidden)
    assert torch.equal(model.item_vectors(changed(inputs, [1]), known=hidden), items)
    assert not torch.equal(model.item_vectors(changed(inputs, [2]), known=hidden), items)
    assert torch.equal(model.item_vectors(inputs, known=~hidden), model.item_vectors(inputs))


def test_ids_are_hidden_from_their_share_of_training_rows_and_from_none_in_evaluation():
    model, inputs = model_of(id_dropout=0.3), inputs_of(4000)
    seen = model.item_vectors(inputs, known=torch.ones(4000, dtype=torch.bool))
    hidden = model.item_vectors(inputs, known=torch.zeros(4000, dtype=torch.bool))
    drawn = model.train().item_vectors(inputs)
    share = torch.isclose(drawn, hidden, atol=1e-6).all(1).double().mean()
    assert abs(share - 0.3) < 0.04                                                      # 5 standard deviations
    assert (torch.isclose(drawn, hidden, atol=1e-6) | torch.isclose(drawn, seen, atol=1e-6)).all()
    assert torch.equal(model.eval().item_vectors(inputs), seen)


def test_stack_scores_what_its_models_score_and_learns_with_fit():
    tables = []
    for seed in range(3):
        inputs = inputs_of(80, seed)
        tables.append(Table(inputs.categorical, SCHEMA.cardinalities, inputs.numeric,
                            targets={"item": inputs.categorical[:, 1]}))
    table = Table.stack(tables)
    stacked = Stacked([model_of(seed, id_dropout=0.2, temperature=temperature)
                       for seed, temperature in enumerate((0.1, 0.2, 0.5))])
    before = stacked.eval()(table.inputs)["item"]
    for r, model in enumerate(stacked.models()):
        torch.testing.assert_close(before[r], model.eval()(tables[r].inputs)["item"], rtol=0, atol=1e-5)
    task = InBatchSoftmax("item", item_shares(table.targets["item"], 5))
    history = fit(stacked, table, [task], epochs=20, batch_size=40, lr=0.01, device="cpu")
    assert (history.losses[-4:].mean(0) < history.losses[:4].mean(0) - 0.1).all()


@pytest.mark.parametrize(("user", "item", "settings", "message"), [
    (Columns([]), ITEM, {}, "user tower: no columns"), (USER, Columns([]), {}, "item tower: no columns"),
    (USER, Columns([1, 3]), {}, "categorical column 3 is read by both"),
    (Columns([0], [1]), ITEM, {}, "numeric column 1 is read by both"),
    (USER, Columns([4]), {}, "item tower: there is no categorical column 4; the table has 4"),
    (Columns([0], [-1]), ITEM, {}, "user tower: there is no numeric column -1; the table has 3"),
    (USER, ITEM, {"temperature": 0.0}, "temperature=0.0 must be above 0"),
    (USER, ITEM, {"id_dropout": 1.0}, "id_dropout=1.0 is outside"),
    (USER, Columns([1]), {"id_dropout": 0.5}, "an id first and columns beside it")])
def test_towers_that_cannot_be_built_are_refused(user, item, settings, message):
    with pytest.raises(ValueError, match=message):
        TwoTower(SCHEMA, user, item, **settings)
