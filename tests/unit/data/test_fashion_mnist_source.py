import gzip
import hashlib

import numpy as np
import pytest

from mtl_tutorial.data import fashion_mnist_source, files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.fashion_mnist import fashion_mnist
from mtl_tutorial.data.fashion_mnist_source import MEMBERS, convert, read_idx


def idx(array):
    """The array as the source writes it."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder with five images per class and split, the classes in turn; the pins are those of its files."""
    folder = tmp_path / "source"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for image_file, label_file in MEMBERS.values():
        arrays = generator.integers(0, 256, (50, 28, 28), np.uint8), np.tile(np.arange(10, dtype=np.uint8), 5)
        for name, array in zip((image_file, label_file), arrays, strict=True):
            (folder / name).write_bytes(gzip.compress(idx(array)))
    monkeypatch.setattr(fashion_mnist_source, "PINNED", {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()})
    monkeypatch.setattr(fashion_mnist_source, "PER_CLASS", {"train": 3, "test": 2})
    return folder


def test_first_images_of_each_class_become_the_file_that_the_reader_reads(source, folder):
    convert(source, folder)
    for split, count in fashion_mnist_source.PER_CLASS.items():
        images, labels, _ = fashion_mnist(split)
        everything = read_idx(source / MEMBERS[split][0], (28, 28))
        rows = [label + 10 * turn for label in range(10) for turn in range(count)]
        assert np.array_equal(images.numpy(), everything[rows])
        assert labels.tolist() == [row % 10 for row in rows]


def test_source_gives_the_same_bytes_each_time(source, folder):
    convert(source, folder)
    before = files.hashes(folder)
    convert(source, folder)
    assert files.hashes(folder) == before


def test_missing_file_is_named(source, folder):
    (source / MEMBERS["test"][1]).unlink()
    with pytest.raises(DataError, match=r"the source holds no t10k-labels-idx1-ubyte\.gz"):
        convert(source, folder)


def test_file_with_another_hash_is_not_opened(source, folder):
    path = source / MEMBERS["train"][0]
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: SHA-256 is .* is pinned; it is not opened"):
        convert(source, folder)
    assert not list(folder.glob("*.parquet"))


@pytest.mark.parametrize("array", [np.zeros((4, 28, 27), np.uint8), np.zeros((0, 27, 28), np.uint8)])
def test_images_of_another_size_are_refused(source, array, monkeypatch):
    path = source / MEMBERS["train"][0]
    path.write_bytes(gzip.compress(idx(array)))
    monkeypatch.setitem(fashion_mnist_source.PINNED, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: the header says \(\d, 2\d, 2\d\)"):
        read_idx(path, (28, 28))


def test_file_that_is_cut_short_is_refused(source, monkeypatch):
    path = source / MEMBERS["train"][0]
    path.write_bytes(gzip.compress(idx(np.zeros((4, 28, 28), np.uint8))[:-1]))
    monkeypatch.setitem(fashion_mnist_source.PINNED, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(DataError, match=r"header says \(4, 28, 28\), but 3135 bytes follow"):
        read_idx(path, (28, 28))


