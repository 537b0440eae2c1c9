"""Rebuild the part of Fashion-MNIST from its source; ``make data`` calls it, nothing else does.

The Debian package ``dataset-fashion-mnist`` carries the four files of the original: 60,000 training and 10,000 test
images in the IDX format of MNIST, compressed with gzip. apt fetches it; it is never installed.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.debian_download import unpacked
from mtl_tutorial.data.fashion_mnist import CLASSES, COLUMNS, FILE, SIDE
from mtl_tutorial.data.pinned import check_pinned

PACKAGE = "dataset-fashion-mnist=0.0~git20200523.55506a9-1"
SHA256 = "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
FOLDER = "usr/share/datasets/fashion-mnist"
MEMBERS = {"train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
           "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")}
PINNED = {
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
}
PER_CLASS = {"train": 1_200, "test": 300}       # the first of each class in the order of the source


def rebuild(target: Path) -> None:
    """Download the source and write the Parquet file into ``target``.

    Raises:
        DataError: apt could not download the package, or what it holds is not what it should be.
    """
    with unpacked(PACKAGE, SHA256) as root:
        convert(root / FOLDER, target)


def convert(source: Path, target: Path) -> None:
    """Write ``fashion_mnist.parquet`` from the four files of the source.

    Raises:
        DataError: a file is missing, has another hash, or is not what its header says.
    """
    parts = []
    for split, (image_file, label_file) in MEMBERS.items():
        pixels = read_idx(source / image_file, (SIDE, SIDE))                            # [N, 28, 28]
        labels = read_idx(source / label_file, ())                                      # [N]
        rows = np.concatenate([np.flatnonzero(labels == label)[: PER_CLASS[split]]
                               for label in range(len(CLASSES))])
        parts.append(pd.DataFrame({
            "split": split,
            "label": [CLASSES[label] for label in labels[rows]],
            "source_row": rows,
            "pixels": [image.tobytes() for image in pixels[rows]],
        }))
    files.write(target, FILE, pd.concat(parts, ignore_index=True), COLUMNS, codec="brotli")


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return the bytes of an IDX file as an array [N, *shape] uint8.

    Raises:
        DataError: the file is missing, its hash is not the pinned one, or its size does not fit the shape.
    """
    if not path.is_file():
        raise DataError(f"the source holds no {path.name}")
    content = path.read_bytes()
    check_pinned(content, PINNED[path.name], path.name)
    content = gzip.decompress(content)
    dimensions = 1 + len(shape)
    sizes = tuple(int(size) for size in np.frombuffer(content, ">u4", count=dimensions, offset=4))
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    if sizes[1:] != shape or values.size != np.prod(sizes):
        raise DataError(f"{path.name}: the header says {sizes}, but {values.size} bytes follow; "
                        f"wanted: N times {shape}")
    return values.reshape(sizes)
