"""Histograms of oriented gradients: which way the edges run, in each part of a picture.

All pictures go through one batched tensor operation. scikit-image's ``hog`` is the well-kept library version, but
it takes one picture at a time, about a millisecond each, and counts a gradient into one orientation only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def hog(images: Tensor, orientations: int = 9, cell: int = 7, block: int = 2) -> Tensor:
    """Return the histograms of oriented gradients of grey pictures, [N, blocks · block² · orientations].

    Central differences give each pixel's gradient (at the border one-sided, and half as long). Its length is shared
    among the two nearest of ``orientations`` directions in 0 … π, an edge from dark to light counting as one from
    light to dark, and summed over cells. Blocks of cells that overlap by all but one row or column are scaled to
    length one, so that a dark picture has the histograms of a light one.

    Args:
        images: [N, H, W], of any real type; H and W are multiples of ``cell``.
        orientations: directions, from 0 in steps of π / orientations.
        cell: side of a cell, in pixels.
        block: side of a block, in cells.

    Raises:
        ValueError: pictures of another shape, or that do not split into cells, or hold no block.

    Reference: Dalal and Triggs 2005, Histograms of Oriented Gradients for Human Detection.
    """
    pictures = _pictures(images, cell)
    if min(pictures.shape[1:]) < cell * block:
        raise ValueError(f"pictures of {tuple(pictures.shape[1:])} pixels hold no block of {block} × {block} cells "
                         f"of {cell} pixels: take smaller cells or blocks")
    padded = F.pad(pictures.unsqueeze(1), (1, 1, 1, 1), mode="replicate").squeeze(1)    # [N, H + 2, W + 2]
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2                           # [N, H, W]
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    place = torch.atan2(down, across) / math.pi * orientations                      # in steps, modulo orientations
    bins = torch.arange(orientations, device=pictures.device, dtype=pictures.dtype).view(-1, 1, 1)
    apart = (place.unsqueeze(1) - bins).remainder(orientations)                         # [N, O, H, W]
    share = (1 - torch.minimum(apart, orientations - apart)).clamp(min=0)               # of the two nearest bins
    cells = F.avg_pool2d(share * torch.hypot(across, down).unsqueeze(1), cell) * cell**2        # [N, O, h, w]
    blocks = F.unfold(cells, block)                                                     # [N, O · block², blocks]
    length = (blocks.square().sum(1, keepdim=True) + 1e-3).sqrt()
    return (blocks / length).flatten(1)


def hog_and_intensity(images: Tensor, orientations: int = 9, cell: int = 7, block: int = 1,
                      pool: int = 4) -> Tensor:
    """Return the histograms of :func:`hog` and, beside them, the mean intensity of squares of ``pool`` pixels.

    Edges say where a thing ends, intensities whether it is filled in between.

    Args:
        images: [N, H, W], 0 (background) to 255; H and W are multiples of ``cell`` and of ``pool``.
        orientations: as for :func:`hog`.
        cell: as for :func:`hog`.
        block: as for :func:`hog`.
        pool: side of a square, in pixels.

    Returns:
        [N, D] float32, or float64 where the pictures are: histograms in 0 … 1 and then intensities in 0 … 1.

    Raises:
        ValueError: as :func:`hog`, or squares that do not fit.
    """
    pictures = _pictures(images, pool) / 255
    intensity = F.avg_pool2d(pictures.unsqueeze(1), pool).flatten(1)                    # [N, HW / pool²]
    return torch.cat([hog(pictures, orientations, cell, block), intensity], 1)


def _pictures(images: Tensor, side: int) -> Tensor:
    """Return the pictures as floats [N, H, W] that split into squares of a side."""
    if images.ndim != 3:
        raise ValueError(f"pictures must be grey, [N, H, W], not {list(images.shape)}")
    if any(length % side for length in images.shape[1:]):
        raise ValueError(f"pictures of {tuple(images.shape[1:])} pixels do not split into squares of {side}")
    return images if images.is_floating_point() else images.float()
