import pytest

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.snippets import COLUMNS, DOMAINS, FILE, group_of, snippets


@pytest.fixture(scope="module")
def rows():
    return snippets()


def test_every_domain_has_1500_distinct_texts(rows):
    assert rows.groupby("domain", observed=True).size().to_dict() == dict.fromkeys(DOMAINS, 1_500)
    assert not rows.duplicated(["domain", "text"]).any()


def test_known_snippet_stands_there_with_its_sentiment(rows):
    [row] = rows[rows["text"] == "Beautifully directed and convincingly acted."].to_dict("records")
    assert (row["domain"], row["source"], row["place"], row["sentiment"]) == ("film review", 4_892, 1, 2.75)


def test_group_is_one_review_or_article_of_one_domain(rows):
    groups = group_of(rows)
    assert groups.shape == (6_000,)
    per_domain = rows.assign(group=groups).groupby("domain", observed=True)["group"].nunique()
    assert per_domain.to_dict() == {"amazon review": 284, "film review": 1_500, "news editorial": 478,
                                    "tweet": 1_500}
    assert len(set(groups)) == per_domain.sum()
    keys = rows[["domain", "source"]].astype(str).agg(" ".join, axis=1)
    assert keys.groupby(groups).nunique().max() == 1


def test_groups_are_those_of_the_rows_that_are_given(rows):
    some = rows.iloc[[5_000, 0, 1, 5_999]]
    assert group_of(some).tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize(("column", "value", "problem"), [
    ("domain", "blog", "'blog' is not one of 'amazon review', "),
    ("sentiment", 4.5, "4.5 is not a number -4 … 4"),
    ("place", 0, "0 is not a whole number 1 … 99"),
    ("text", "", "'' is not text of 1 … 1000 characters"),
])
def test_value_that_does_not_fit_is_named_with_its_row(folder, rows, monkeypatch, column, value, problem):
    frame = rows.head(8).astype({"domain": str})
    frame.loc[5, column] = value
    with monkeypatch.context() as patch:
        patch.setattr(files, "check", lambda table, columns, name: None)
        files.write(folder, FILE, frame, COLUMNS)
    with pytest.raises(DataError, match=f"^{FILE}: column '{column}', row 5: {problem}.*make data"):
        snippets()


def test_sentence_that_stands_there_twice_is_named(folder, rows):
    frame = rows.head(8).copy()
    frame.loc[7, ["source", "place"]] = frame.loc[0, ["source", "place"]]
    files.write(folder, FILE, frame, COLUMNS)
    with pytest.raises(DataError, match=f"^{FILE}: column 'place', row 7: sentence 1 of amazon review 1 stands"):
        snippets()
