import pandas as pd
import pytest

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.food_reviews import COLUMNS, FILE, drop_repeated_texts, food_reviews, read_food_reviews


@pytest.fixture(scope="module")
def raw():
    return read_food_reviews()


def test_rows_are_those_of_the_source(raw):
    assert raw.groupby("split", observed=True).size().tolist() == [4_000, 1_000]
    assert raw.groupby("split", observed=True)["score"].apply(lambda score: (score == "great").sum()).tolist() == [
        2_600, 658]
    assert raw["text"].iloc[0] == "this stuff is  not stuffing  its  not good at all  save your money"
    assert raw["product"].is_unique


def test_seven_test_texts_are_training_texts_and_are_left_out_of_the_test(raw):
    kept, dropped = drop_repeated_texts(raw)
    assert dropped.to_dict() == {"train": 20, "test": 7}
    train, test = (set(kept.loc[kept["split"] == split, "text"]) for split in ("train", "test"))
    assert not train & test
    assert kept["text"].is_unique
    assert set(kept["text"]) == set(raw["text"])
    twice = raw.loc[(raw["split"] == "test") & raw["text"].isin(train), "text"]
    assert len(twice) == 7


def test_index_is_the_row_in_the_file(raw):
    kept = food_reviews()
    assert len(kept) == 4_973
    assert kept["text"].tolist() == raw["text"].iloc[kept.index].tolist()


def test_first_of_equal_texts_is_kept():
    frame = pd.DataFrame({"split": pd.Categorical(["train", "train", "train", "test"]),
                          "text": ["b", "a", "b", "a"]})
    kept, dropped = drop_repeated_texts(frame)
    assert kept.index.tolist() == [0, 1]
    assert dropped.to_dict() == {"train": 1, "test": 1}


@pytest.mark.parametrize(("column", "value", "problem"), [
    ("score", "meh", "'meh' is not one of 'great', 'other'"),
    ("text", "", "'' is not text of 1 … 10000 characters"),
    ("text", "x" * 10_001, r"'x+\.\.\.x+' is not text of 1 … 10000 characters"),
    ("text", None, "the value is empty"),
    ("product", "B0001234567", "'B0001234567' is not text of 1 … 10 characters"),
])
def test_value_that_does_not_fit_is_named_with_its_row(folder, raw, monkeypatch, column, value, problem):
    frame = raw.head(8).astype({"score": str})
    frame.loc[5, column] = value
    with monkeypatch.context() as patch:
        patch.setattr(files, "check", lambda table, columns, name: None)
        files.write(folder, FILE, frame, COLUMNS)
    with pytest.raises(DataError, match=f"^{FILE}: column '{column}', row 5: {problem}.*make data"):
        read_food_reviews()


def test_file_with_other_rows_is_told_by_its_hash(folder, raw):
    files.write(folder, FILE, raw.head(8), COLUMNS)
    (folder / files.HASHES).write_text(f"{files.hashes(files.folder())[FILE][::-1]}  {FILE}\n")
    with pytest.raises(DataError, match=f"{FILE}: SHA-256 is [0-9a-f]{{64}}, but SHA256SUMS says"):
        read_food_reviews()
