import pytest
import torch

from mtl_tutorial.data.table import Table


def make_table(rows=10, offset=0):
    """A table whose every column says which row it stands for."""
    number = torch.arange(rows) + offset
    return Table(
        categorical=torch.stack([number % 3, number % 2], dim=1),
        cardinalities=(3, 2),
        numeric=number.float().unsqueeze(-1),
        targets={"click": (number % 2).float(), "spend": number * 10.0},
        masks={"spend": number % 2 == 1},
        groups=number // 2,
        field_names=("colour", "size"),
    )


def rows_of(table):
    return table.numeric[..., 0].long()


def test_take_takes_the_same_rows_of_every_column():
    taken = make_table().take(torch.tensor([7, 2]))
    assert rows_of(taken).tolist() == [7, 2]
    assert taken.targets["spend"].tolist() == [70.0, 20.0]
    assert taken.mask("spend").tolist() == [True, False]
    assert taken.groups.tolist() == [3, 1]
    assert taken.schema == make_table().schema


def test_take_accepts_a_slice():
    assert rows_of(make_table().take(slice(2, 5))).tolist() == [2, 3, 4]


def test_target_without_a_mask_counts_as_observed_everywhere():
    assert make_table().mask("click").all()


def test_ids_are_found_by_the_name_of_their_field():
    assert make_table(4).ids("size").tolist() == [0, 1, 0, 1]
    with pytest.raises(KeyError, match="no field 'weight'; fields are colour, size"):
        make_table().ids("weight")


def test_without_leaves_out_the_named_fields_and_nothing_else():
    table = make_table(4)
    thin = table.without("colour")
    assert thin.field_names == ("size",)
    assert thin.schema == ((2,), 1, 1)
    assert torch.equal(thin.ids("size"), table.ids("size"))
    others = [name for name, _ in table.columns() if name != "categorical"]
    assert all(torch.equal(dict(thin.columns())[name], dict(table.columns())[name]) for name in others)
    assert table.field_names == ("colour", "size")


def test_without_takes_several_fields_and_stacked_tables():
    stacked = Table.stack([make_table(6), make_table(6, offset=1)])
    assert stacked.without("size").ids("colour").tolist() == stacked.ids("colour").tolist()
    bare = stacked.without("size", "colour")
    assert bare.categorical.shape == (2, 6, 0)
    assert bare.schema == ((), 1, 1)


def test_without_a_field_that_is_not_there_is_refused():
    with pytest.raises(KeyError, match="no field 'weight'; fields are colour, size"):
        make_table().without("colour", "weight")


def test_split_deals_each_row_to_one_part():
    parts = make_table(100).split(0.6, 0.3, 0.1)
    assert [len(part) for part in parts] == [60, 30, 10]
    assert torch.cat([rows_of(part) for part in parts]).sort().values.tolist() == list(range(100))


def test_split_depends_on_the_seed_alone():
    table = make_table(100)
    first, again, other = (rows_of(table.split(0.5, seed=seed)[0]).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_split_by_group_keeps_groups_together():
    train, test = make_table(100).split(0.8, 0.2, by_group=True)
    assert not set(train.groups.tolist()) & set(test.groups.tolist())
    assert len(train) + len(test) == 100
    assert len(train.groups.unique()) == 40


def test_split_by_group_needs_groups():
    table = Table.from_features(torch.zeros(4, 1))
    with pytest.raises(ValueError, match="needs a table with groups"):
        table.split(0.5, by_group=True)


@pytest.mark.parametrize("shares", [(0.7, 0.4), (0.5, 0.0), (-0.1,)])
def test_split_refuses_impossible_shares(shares):
    with pytest.raises(ValueError, match="must be positive and at most 1 together"):
        make_table().split(*shares)


def test_batches_pass_over_every_row_once():
    table = make_table(10)
    assert [len(index) for index in table.batches(4)] == [4, 4, 2]
    assert torch.cat(list(table.batches(4))).tolist() == list(range(10))
    shuffled = torch.cat(list(table.batches(4, torch.Generator().manual_seed(0))))
    assert shuffled.tolist() != list(range(10))
    assert shuffled.sort().values.tolist() == list(range(10))


def test_stack_puts_repeats_in_front():
    stacked = Table.stack([make_table(6), make_table(6, offset=6)])
    assert stacked.repeats == 2
    assert len(stacked) == 6
    assert stacked.categorical.shape == (2, 6, 2)
    assert rows_of(stacked)[1].tolist() == [6, 7, 8, 9, 10, 11]
    assert stacked.targets["click"].shape == stacked.mask("click").shape == (2, 6)


def test_batches_of_a_stacked_table_order_each_repeat_by_itself():
    stacked = Table.stack([make_table(50), make_table(50)])
    first, second = torch.cat(list(stacked.batches(20, torch.Generator().manual_seed(0))), dim=-1)
    assert first.tolist() != second.tolist()
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(50))


def test_take_from_a_stacked_table_takes_each_repeat_its_own_rows():
    stacked = Table.stack([make_table(6), make_table(6, offset=6)])
    taken = stacked.take(torch.tensor([[0, 5], [1, 2]]))
    assert rows_of(taken).tolist() == [[0, 5], [7, 8]]
    assert taken.targets["spend"].tolist() == [[0.0, 50.0], [70.0, 80.0]]
    assert rows_of(stacked.take(torch.tensor([3]))).tolist() == [[3], [9]]
    assert rows_of(stacked.take(slice(0, 1))).tolist() == [[0], [6]]


def test_stack_refuses_tables_that_differ():
    with pytest.raises(ValueError, match="table 1 has 5 rows"):
        Table.stack([make_table(6), make_table(5)])
    with pytest.raises(ValueError, match="give at least one table"):
        Table.stack([])


def test_repeat_shows_the_same_memory_to_every_model():
    table = make_table(4)
    repeated = table.repeat(3)
    assert repeated.repeats == 3
    assert rows_of(repeated).tolist() == [[0, 1, 2, 3]] * 3
    assert repeated.numeric.data_ptr() == table.numeric.data_ptr()


def test_with_targets_keeps_the_features():
    table = make_table(4).with_targets({"buy": torch.ones(4)})
    assert list(table.targets) == ["buy"]
    assert not table.masks
    assert rows_of(table).tolist() == [0, 1, 2, 3]


def test_table_of_features_alone_has_no_fields():
    table = Table.from_features(torch.zeros(5, 3), targets={"y": torch.zeros(5)})
    assert table.schema == ((), 3, 1)
    assert table.inputs.categorical.shape == (5, 0)
    assert table.inputs.scenario.tolist() == [0] * 5


def test_columns_of_other_length_are_refused_by_name():
    with pytest.raises(ValueError, match=r"column \"targets\['y'\]\" has shape \(4,\)"):
        Table.from_features(torch.zeros(5, 3), targets={"y": torch.zeros(4)})


def test_mask_without_target_is_refused():
    with pytest.raises(ValueError, match=r"masks \['z'\] have no target; targets are \['y'\]"):
        Table.from_features(torch.zeros(2, 1), targets={"y": torch.zeros(2)}, masks={"z": torch.ones(2).bool()})


def test_fields_without_cardinality_are_refused():
    with pytest.raises(ValueError, match="2 categorical fields, but 1 cardinalities"):
        Table(torch.zeros(3, 2, dtype=torch.long), (4,), torch.zeros(3, 1))


def test_validate_names_field_and_row_of_a_foreign_id():
    ids = torch.tensor([[0], [1], [2]])
    with pytest.raises(ValueError, match="categorical field 'colour', row 2: id 2 is outside the vocabulary 0 … 1"):
        Table(ids, (2,), torch.zeros(3, 1), field_names=("colour",)).validate()
    table = Table(ids, (3,), torch.zeros(3, 1))
    assert table.validate() is table


@pytest.mark.parametrize("foreign", [2, -1])
def test_validate_names_the_row_of_a_foreign_scenario(foreign):
    table = Table.from_features(torch.zeros(3, 1), scenario=torch.tensor([0, 1, foreign]), scenarios=2)
    with pytest.raises(ValueError, match=f"column 'scenario', row 2: scenario {foreign} is outside the scenarios "
                                         "0 … 1"):
        table.validate()


def test_joined_tables_hold_the_rows_of_all_below_one_another(mixed_table):
    parts = [mixed_table(rows=5, seed=1), mixed_table(rows=3, seed=2)]
    joined = Table.join(parts)
    assert len(joined) == 8
    first, second = (dict(part.columns()) for part in parts)
    for name, column in joined.columns():
        assert torch.equal(column, torch.cat([first[name], second[name]])), name


def test_tables_that_differ_or_are_stacked_are_not_joined(mixed_table):
    table = mixed_table(rows=4)
    with pytest.raises(ValueError, match="nothing to join"):
        Table.join([])
    with pytest.raises(ValueError, match=r"table 1 has .*scenarios=2"):
        Table.join([table, mixed_table(rows=4, scenarios=2)])
    with pytest.raises(ValueError, match="repeats=2"):
        Table.join([Table.stack([table, table])])
