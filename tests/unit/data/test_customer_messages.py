import hashlib
import re
from itertools import product

import pytest

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.customer_messages import (
    FILE,
    FILE_OF_INTENTS,
    INTENTS,
    SPLITS,
    customer_intents,
    customer_messages,
)

ENDINGS = r"(ation|ment|ity|ed|ing|e|y|s)$"     # cut off: what is left begins every form of the word


@pytest.fixture(scope="module")
def rows():
    return customer_messages()


def trigrams(text):
    """Return the runs of three characters of a text."""
    text = text.lower()
    return {text[place:place + 3] for place in range(len(text) - 2)}


def alike(one, other):
    """Return the Jaccard index of two texts' character trigrams."""
    one, other = trigrams(one), trigrams(other)
    return len(one & other) / len(one | other)


def words(text):
    return re.findall(r"[a-z]+", text.lower())


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Write a data file anew with something replaced, and its hash."""
    def write(name, old, new):
        text = (files.folder() / name).read_text()
        assert old in text
        text = text.replace(old, new, 1)
        (tmp_path / name).write_text(text)
        (tmp_path / files.HASHES).write_text(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n")
        monkeypatch.setenv("MTL_TUTORIAL_DATA", str(tmp_path))
    return write


def test_every_intent_has_20_messages_in_the_pool_and_10_to_test_on(rows):
    counts = rows.groupby(["intent", "split"], observed=False).size().to_dict()
    wanted = {"pool": 20, "test": 10}
    assert counts == {(intent, split): wanted[split] for intent, split in product(INTENTS, SPLITS)}
    assert rows.index.tolist() == list(range(510))


def test_messages_have_five_to_forty_five_words(rows):
    assert rows["text"].str.split().str.len().between(5, 45).all()


def test_no_message_of_the_pool_is_nearly_one_of_the_test(rows):
    pool, test = (rows.loc[rows["split"] == split, "text"] for split in SPLITS)
    most, one, other = max((alike(one, other), one, other) for one in pool for other in test)
    print(f"most alike across the split, {most:.2f}: {one!r} and {other!r}")
    assert most < 0.3, f"{one!r} is much like {other!r}"


def test_no_message_is_nearly_another(rows):
    texts = [trigrams(text) for text in rows["text"]]
    assert max(len(one & other) / len(one | other)
               for place, one in enumerate(texts) for other in texts[:place]) < 0.3


def test_measure_of_likeness_is_the_jaccard_index_of_trigrams():
    assert alike("abcd", "BCDE") == pytest.approx(1 / 3)
    assert alike("where is it", "Where is it") == 1


def test_no_message_holds_a_word_of_its_intents_name_in_any_form(rows):
    for intent, text in rows[["intent", "text"]].itertuples(index=False):
        for word in intent.split():
            stem = re.sub(ENDINGS, "", word)
            assert not any(found.startswith(stem) for found in words(text)), f"{intent}: {text!r}"


def test_forms_of_a_word_are_found_by_what_is_left_of_it():
    stems = {word: re.sub(ENDINGS, "", word) for intent in INTENTS for word in intent.split()}
    for word, form in (("cancellation", "cancelled"), ("payment", "pays"), ("delivery", "deliveries"),
                       ("refused", "refusing"), ("invoice", "invoicing"), ("goods", "good"), ("size", "sizing"),
                       ("late", "later"), ("charge", "charges"), ("return", "returning"), ("advice", "advice")):
        assert form.startswith(stems[word]), word
    assert min(map(len, stems.values())) >= 3


def test_descriptions_are_no_messages(rows):
    for text in customer_intents()["text"][len(INTENTS):]:
        assert max(alike(text, message) for message in rows["text"]) < 0.25, text


def test_no_message_shares_four_words_in_a_row_with_its_intents_description(rows):
    described = dict(zip(INTENTS, customer_intents()["text"][len(INTENTS):], strict=True))
    for intent, text in rows[["intent", "text"]].itertuples(index=False):
        runs = [{tuple(found[place:place + 4]) for place in range(len(found) - 3)}
                for found in (words(text), words(described[intent]))]
        assert not runs[0] & runs[1], f"{intent}: {text!r}"


def test_texts_of_the_intents_are_the_names_and_after_them_the_descriptions():
    texts = customer_intents()
    assert texts["kind"].tolist() == ["name"] * 17 + ["description"] * 17
    assert texts["intent"].astype(str).tolist() == [*INTENTS, *INTENTS]
    assert texts["text"].tolist()[:17] == list(INTENTS)
    assert texts["text"].is_unique
    assert texts["text"][17:].str.split().str.len().between(12, 30).all()


def test_message_that_stands_there_twice_is_named_with_its_row(put):
    put(FILE, "Tracking hasn't moved since it left Leipzig.",
        '"WHERE is my parcel?? was promised tuesday, it\'s friday now"')
    with pytest.raises(DataError, match=f"^{FILE}: column 'text', row 2: the message stands there a second time; "
                                        "restore it with 'git checkout data'"):
        customer_messages()


@pytest.mark.parametrize(("old", "new", "problem"), [
    ("late delivery,pool", "slow delivery,pool", "column 'intent', row 0: 'slow delivery' is not one of 'late "),
    (",test,", ",tset,", "column 'split', row [0-9]+: 'tset' is not one of 'pool', 'test'"),
    ("Tracking hasn't moved since it left Leipzig.", "", "column 'text', row 2: '' is not text of 1 … 400"),
])
def test_message_that_does_not_fit_is_named_with_its_row(put, old, new, problem):
    put(FILE, old, new)
    with pytest.raises(DataError, match=f"^{FILE}: {problem}"):
        customer_messages()


@pytest.mark.parametrize(("old", "new", "problem"), [
    ("damaged goods,", "wrong article,", "column 'intent', row 1: 'wrong article' stands where 'damaged goods'"),
    ("\nwarranty repair,", "\nreturn,", "column 'intent', row 16: 'return' stands where 'warranty repair' should"),
])
def test_intent_in_anothers_place_is_named(put, old, new, problem):
    put(FILE_OF_INTENTS, old, new)
    with pytest.raises(DataError, match=f"^{FILE_OF_INTENTS}: {problem}.*git checkout data"):
        customer_intents()


def test_intent_that_is_missing_is_told(put):
    last = (files.folder() / FILE_OF_INTENTS).read_text().splitlines()[-1] + "\n"
    put(FILE_OF_INTENTS, last, "")
    with pytest.raises(DataError, match=f"^{FILE_OF_INTENTS}: 16 rows, but 17 values of 'intent' are expected"):
        customer_intents()


def test_missing_file_is_named_with_a_remedy(folder):
    with pytest.raises(DataError, match=f"{folder / FILE} is missing; restore it with 'git checkout data'"):
        customer_messages()
