import hashlib
import re

import pytest
import torch

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.fashion_mnist import CLASSES
from mtl_tutorial.data.fashion_mnist_attributes import (
    ATTRIBUTES,
    COLUMNS,
    FILE,
    GARMENT_TYPES,
    fashion_mnist_attributes,
    product_classes,
)


def rows_of(name, table):
    return {attribute for attribute, value in zip(ATTRIBUTES, table[CLASSES.index(name)], strict=True) if value}


def put(folder, change):
    """Write the file anew, its lines changed, with its hash."""
    lines = (files.folder() / FILE).read_text().splitlines()
    text = "\n".join(change(lines)) + "\n"
    return lambda: ((folder / FILE).write_text(text),
                    (folder / files.HASHES).write_text(f"{hashlib.sha256(text.encode()).hexdigest()}  {FILE}\n"))


def test_every_class_has_a_row_of_its_own_and_every_attribute_tells_some_classes_apart():
    table, attributes, kinds, classes = fashion_mnist_attributes()
    assert table.shape == (10, 15)
    assert table.dtype == torch.float32
    assert classes == CLASSES
    assert attributes == tuple(ATTRIBUTES)
    assert len(table.unique(dim=0)) == 10
    assert len(table.unique(dim=1).T) == 15, "two attributes say the same"
    assert ((table.sum(0) > 0) & (table.sum(0) < 10)).all()
    assert [GARMENT_TYPES[kind] for kind in kinds[[0, 1, 5, 8]]] == ["upper body", "legs", "feet", "bag"]


def test_attributes_of_a_type_of_garment_agree_with_it():
    table, attributes, kinds, _ = fashion_mnist_attributes()
    assert (table[:, attributes.index("covers_torso")] == (kinds == 0)).all()
    assert (table[:, attributes.index("separate_legs")] == (kinds == 1)).all()
    assert (table[:, attributes.index("worn_on_feet")] == (kinds == 2)).all()


def test_some_rows_are_as_anybody_would_write_them():
    table = fashion_mnist_attributes().table
    assert rows_of("T-shirt/top", table) == {"covers_torso", "has_sleeves", "pulled_over_head"}
    assert rows_of("Sandal", table) == {"worn_on_feet", "raised_heel", "straps_or_handle"}
    assert rows_of("Bag", table) == {"straps_or_handle"}


def test_long_sleeves_are_sleeves_and_covered_toes_are_on_feet():
    table, attributes, *_ = fashion_mnist_attributes()
    of = {name: table[:, place] for place, name in enumerate(attributes)}
    assert (of["long_sleeves"] <= of["has_sleeves"]).all()
    for name in ("covers_toes", "raised_heel", "laces"):
        assert (of[name] <= of["worn_on_feet"]).all()
    assert (of["opens_in_front"] * of["pulled_over_head"] == 0).all()


def test_texts_are_the_names_and_after_them_the_descriptions():
    texts = product_classes()
    assert texts["kind"].tolist() == ["name"] * 10 + ["description"] * 10
    assert texts["class"].astype(str).tolist() == [*CLASSES, *CLASSES]
    assert texts["text"].tolist()[:10] == list(CLASSES)
    assert texts["text"].is_unique


def test_no_description_names_its_class():
    for name, text in product_classes().tail(10)[["class", "text"]].itertuples(index=False):
        words = set(re.findall("[a-z]+", text.lower()))
        parts = re.findall("[a-z]{2,}", name.lower())
        if name == "Ankle boot":
            parts.remove("ankle")           # a part of the body as well
        if name == "T-shirt/top":
            parts.remove("top")             # a kind of garment as well
        assert not words & {*parts, *(part + "s" for part in parts)}, name


def test_missing_file_is_named_with_a_remedy(folder):
    with pytest.raises(DataError, match=f"{folder / FILE} is missing; restore it with 'git checkout data'"):
        fashion_mnist_attributes()


@pytest.mark.parametrize(("change", "problem"), [
    (lambda lines: [line.replace("upper body,1,", "upper body,2,", 1) for line in lines],
     "column 'covers_torso', row 0: 2 is not a whole number 0 … 1"),
    (lambda lines: [line.replace(",feet,", ",hands,") for line in lines],
     "column 'garment_type', row 5: 'hands' is not one of 'upper body', "),
    (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
     "column 'class', row 0: 'Trouser' stands where 'T-shirt/top' should"),
    (lambda lines: lines[:-1], "9 rows, but 10 values of 'class' are expected"),
    (lambda lines: [line.replace(",laces", ",strings") for line in lines],
     "column 'laces' is missing and column 'strings' is unknown"),
    (lambda lines: [line if not line.startswith("Coat") else "Coat," + line.split(",", 1)[1].replace(
        "upper body,1,1,0,1,1,1,0,1", "upper body,1,0,0,1,1,0,1,1") for line in lines],
     "row 4: 'Coat' has the same attributes as an earlier class"),
])
def test_file_that_does_not_fit_is_named_with_what_is_wrong(tmp_path, monkeypatch, change, problem):
    write = put(tmp_path, change)
    monkeypatch.setenv("MTL_TUTORIAL_DATA", str(tmp_path))
    write()
    with pytest.raises(DataError, match=f"^{FILE}: {problem}.*git checkout data"):
        product_classes()


def test_every_column_is_declared():
    assert list(COLUMNS) == ["class", "garment_type", *ATTRIBUTES, "description"]
