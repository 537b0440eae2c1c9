import hashlib

import pytest
import torch

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.fashion_mnist import CLASSES, COLUMNS, FILE, fashion_mnist

# of the pixels of all rows, taken from the source's own files with gzip and numpy alone
PIXELS = {"train": "700ea1324b515bdeecebeed8b5cac3ba17b8608c27019ef549aa916293ac4eac",
          "test": "ec2ad12479cf81289a00a523b845d2b005877ed7146850ad716929f5a8e890bb"}
# of the pixels of a class's first image
FIRST = {("train", "T-shirt/top"): "9cf80d28fd40cb6b", ("train", "Trouser"): "6539da82d1733cb7",
         ("test", "T-shirt/top"): "d686d6baa1bbdc6a", ("test", "Trouser"): "2914aef93f1fce9f"}


def digest(pixels):
    return hashlib.sha256(pixels.numpy().tobytes()).hexdigest()


@pytest.fixture(scope="module")
def rows():
    return files.read(FILE, COLUMNS)


@pytest.mark.parametrize(("split", "per_class"), [("train", 1_200), ("test", 300)])
def test_every_class_has_the_same_number_of_images(split, per_class):
    images, labels, classes = fashion_mnist(split)
    assert images.shape == (10 * per_class, 28, 28)
    assert images.dtype == torch.uint8
    assert classes == CLASSES
    assert labels.tolist() == [label for label in range(10) for _ in range(per_class)]


@pytest.mark.parametrize("split", ["train", "test"])
def test_pixels_are_exactly_those_of_the_source(split):
    images, labels, _ = fashion_mnist(split)
    assert digest(images) == PIXELS[split]
    for label, name in enumerate(CLASSES[:2]):
        assert digest(images[labels == label][0])[:16] == FIRST[split, name]


def test_no_image_stands_in_the_data_twice(rows):
    assert rows["pixels"].is_unique


def test_images_are_the_callers_to_change():
    images = fashion_mnist("test").images
    images.zero_()
    assert fashion_mnist("test").images.any()


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="split is 'valid', but must be one of 'train', 'test'"):
        fashion_mnist("valid")


def test_missing_file_is_named_with_a_remedy(folder):
    with pytest.raises(DataError, match=f"{folder / FILE} is missing; restore it .* 'make data'"):
        fashion_mnist("train")


@pytest.mark.parametrize(("column", "value", "problem"), [
    ("pixels", b"\x00" * 783, r"b'.*\.\.\..*' is not 784 bytes"),
    ("pixels", None, "the value is empty"),
    ("label", "Hat", "'Hat' is not one of 'T-shirt/top', "),
    ("source_row", 60_000, "60000 is not a whole number 0 … 59999"),
])
def test_value_that_does_not_fit_is_named_with_its_row(folder, rows, monkeypatch, column, value, problem):
    frame = rows.head(8).astype({"label": str, "split": str})
    frame.loc[5, column] = value
    with monkeypatch.context() as patch:
        patch.setattr(files, "check", lambda table, columns, name: None)
        loose = {**COLUMNS, "pixels": type("Loose", (), {"arrow_type": "binary"})}
        files.write(folder, FILE, frame, loose)
    with pytest.raises(DataError, match=f"^{FILE}: column '{column}', row 5: {problem}.*make data"):
        fashion_mnist("train")


def test_image_that_stands_there_twice_is_named(folder, rows):
    frame = rows.head(8).copy()
    frame.loc[6, "source_row"] = frame.loc[2, "source_row"]
    files.write(folder, FILE, frame, COLUMNS)
    with pytest.raises(DataError, match=f"^{FILE}: column 'source_row', row 6: image 4 of the train images"):
        fashion_mnist("train")


def test_file_with_other_pixels_is_told_by_its_hash(folder, rows):
    frame = rows.head(8).copy()
    files.write(folder, FILE, frame, COLUMNS)
    (folder / files.HASHES).write_text(f"{files.hashes(files.folder())[FILE][::-1]}  {FILE}\n")
    with pytest.raises(DataError, match=f"{FILE}: SHA-256 is [0-9a-f]{{64}}, but SHA256SUMS says"):
        fashion_mnist("train")
