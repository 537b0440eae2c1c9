"""What the ten classes of Fashion-MNIST look like, in words and in yes-or-no attributes.

The table is ours, written from what a garment of that name is, before any model was trained on it. It holds one row
per class: the part of the body it is for, fifteen attributes of its shape, and a sentence that describes it without
naming it. Real garments vary: a dress may have sleeves, a boot laces. The table says what the class is *typically*
like, and a table that holds for every picture would hold hardly anything.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import Category, Column, DataError, Integer, Text
from mtl_tutorial.data.fashion_mnist import CLASSES

FILE = "fashion_mnist_attributes.csv"
GARMENT_TYPES = ("upper body", "legs", "feet", "bag")
ATTRIBUTES = {                                          # name -> yes, if ...
    "covers_torso": "it covers the chest and the belly",
    "covers_thighs": "it reaches down over the thighs",
    "separate_legs": "it has a tube of its own for each leg",
    "has_sleeves": "it has sleeves, short or long",
    "long_sleeves": "its sleeves reach to the wrists",
    "opens_in_front": "it opens in front from top to bottom, by buttons or a zip",
    "pulled_over_head": "it is put on over the head, with no opening from top to bottom",
    "thick_fabric": "its material is thick: knitted, lined, or leather",
    "narrow_waist": "it is cut to the waist",
    "worn_on_feet": "it is worn on the feet",
    "covers_toes": "it closes over the toes",
    "covers_ankles": "it reaches over the ankles",
    "raised_heel": "its heel is higher than the rest of its sole",
    "laces": "it is tied with laces",
    "straps_or_handle": "it is held by straps or by a handle",
}

COLUMNS: dict[str, Column] = {
    "class": Category(CLASSES),
    "garment_type": Category(GARMENT_TYPES),
    **{name: Integer(0, 1) for name in ATTRIBUTES},
    "description": Text(200),
}


class ClassAttributes(NamedTuple):
    """The attributes of ten classes, in the order of ``fashion_mnist.CLASSES``."""

    table: Tensor                               # [10, 15] float32, 1 yes and 0 no
    attributes: tuple[str, ...]                 # names of the columns
    garment_types: Tensor                       # [10] long, index into GARMENT_TYPES
    classes: tuple[str, ...]


def fashion_mnist_attributes() -> ClassAttributes:
    """Return the table of classes and attributes.

    Raises:
        DataError: the data file is missing, damaged, or not what it should be.
    """
    frame = _rows()
    table = torch.tensor(frame[list(ATTRIBUTES)].to_numpy("float32"))                   # [10, 15]
    kinds = torch.tensor(frame["garment_type"].cat.codes.to_numpy("int64"))
    return ClassAttributes(table, tuple(ATTRIBUTES), kinds, CLASSES)


def product_classes() -> pd.DataFrame:
    """Return the texts that stand for the classes: the ten bare names, and after them the ten descriptions.

    Columns are ``class``, ``kind`` (``"name"`` or ``"description"``) and ``text``. Each ten are in the order of
    ``fashion_mnist.CLASSES``.

    Raises:
        DataError: the data file is missing, damaged, or not what it should be.
    """
    frame = _rows()
    names = pd.DataFrame({"class": frame["class"], "kind": "name", "text": frame["class"].astype(str)})
    sentences = pd.DataFrame({"class": frame["class"], "kind": "description", "text": frame["description"]})
    return pd.concat([names, sentences], ignore_index=True)


def _rows() -> pd.DataFrame:
    """Return the file's rows, after the checks that go beyond one value."""
    frame = files.read(FILE, COLUMNS)
    files.check_one_row_each(FILE, frame, "class", CLASSES)
    same = frame.duplicated(list(ATTRIBUTES))
    if same.any():
        row = int(same.argmax())
        raise DataError(f"{FILE}: row {row}: {frame['class'].iloc[row]!r} has the same attributes as an earlier "
                        f"class, so that nothing can tell them apart; {files.REMEDY_OF_CSV}")
    return frame
