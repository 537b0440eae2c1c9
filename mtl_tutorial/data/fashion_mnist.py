"""Fashion-MNIST, a balanced part: grey pictures of products in ten classes.

12,000 training images and 3,000 test images of 28 × 28 pixels, the same number of each class; training and test
are those of the source. Pixels are the source's, 0 (background) to 255.

Its classes are coarse garment types, photographed alike, centred and without background: far easier than pictures
that sellers upload. ``Shirt`` against ``T-shirt/top``, ``Pullover`` and ``Coat`` is where models err.

Reference: Xiao, Rasul and Vollgraf 2017, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import Bytes, Category, Column, DataError, Integer

FILE = "fashion_mnist.parquet"
SIDE = 28
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SPLITS = ("train", "test")

COLUMNS: dict[str, Column] = {
    "split": Category(SPLITS),
    "label": Category(CLASSES),
    "source_row": Integer(0, 59_999),           # of the image in the source's file of this split
    "pixels": Bytes(SIDE * SIDE),               # row by row from the top, 0 background to 255
}


class ProductImages(NamedTuple):
    """Images and the class of each."""

    images: Tensor                              # [N, 28, 28] uint8
    labels: Tensor                              # [N] long, index into classes
    classes: tuple[str, ...]


def fashion_mnist(split: Literal["train", "test"]) -> ProductImages:
    """Return the training or the test images, sorted by class and within a class in the order of the source.

    Args:
        split: ``"train"`` (1,200 images per class) or ``"test"`` (300 per class).

    Raises:
        DataError: the data file is missing, damaged, or not what it should be.
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, but must be one of {', '.join(map(repr, SPLITS))}")
    frame = files.read(FILE, COLUMNS)
    twice = frame.duplicated(["split", "source_row"])
    if twice.any():
        row = int(twice.argmax())
        raise DataError(f"{FILE}: column 'source_row', row {row}: image {frame['source_row'].iloc[row]} of the "
                        f"{frame['split'].iloc[row]} images stands there a second time; {files.REMEDY}")
    frame = frame[frame["split"] == split]
    pixels = np.frombuffer(bytearray(b"".join(frame["pixels"])), np.uint8)
    images = torch.from_numpy(pixels).view(-1, SIDE, SIDE)                              # [N, 28, 28]
    return ProductImages(images, torch.tensor(frame["label"].cat.codes.to_numpy(np.int64)), CLASSES)
