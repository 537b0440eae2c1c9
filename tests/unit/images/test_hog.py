import math

import pytest
import torch

from mtl_tutorial.images.hog import hog, hog_and_intensity


def by_loops(image, orientations, cell, block):
    """Take one picture [H, W] through the same steps, pixel by pixel."""
    high, wide = image.shape
    value = image.tolist()
    cells = [[[0.0] * orientations for _ in range(wide // cell)] for _ in range(high // cell)]
    for i in range(high):
        for j in range(wide):
            across = (value[i][min(j + 1, wide - 1)] - value[i][max(j - 1, 0)]) / 2
            down = (value[min(i + 1, high - 1)][j] - value[max(i - 1, 0)][j]) / 2
            place = math.atan2(down, across) % math.pi / math.pi * orientations
            low, rest = int(place) % orientations, place - int(place)
            cells[i // cell][j // cell][low] += (1 - rest) * math.hypot(across, down)
            cells[i // cell][j // cell][(low + 1) % orientations] += rest * math.hypot(across, down)
    blocks = []
    for i in range(len(cells) - block + 1):
        for j in range(len(cells[0]) - block + 1):
            part = [cells[i + a][j + b][o] for o in range(orientations) for a in range(block) for b in range(block)]
            length = math.sqrt(sum(v * v for v in part) + 1e-3)
            blocks.append([v / length for v in part])
    return [blocks[place][entry] for entry in range(len(blocks[0])) for place in range(len(blocks))]


@pytest.mark.parametrize(("orientations", "cell", "block"), [(9, 4, 2), (6, 4, 1), (8, 2, 3)])
def test_batched_histograms_are_those_of_a_loop_over_pixels(orientations, cell, block):
    images = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 255
    expected = torch.tensor([by_loops(image, orientations, cell, block) for image in images], dtype=torch.float64)
    torch.testing.assert_close(hog(images, orientations, cell, block), expected, rtol=1e-10, atol=1e-10)


def ramp(angle, size=7):
    """A picture that grows lighter in one direction."""
    line = torch.arange(size, dtype=torch.float64)
    return 9 * (math.cos(angle) * line.unsqueeze(0) + math.sin(angle) * line.unsqueeze(1)).unsqueeze(0)


@pytest.mark.parametrize("direction", range(4))
def test_a_ramp_falls_into_the_bin_of_its_direction(direction):
    inner = hog(ramp(direction * math.pi / 4), orientations=4, cell=7, block=1)[0]
    assert inner.argmax() == direction
    torch.testing.assert_close(inner, hog(-ramp(direction * math.pi / 4), 4, 7, 1)[0])


def test_contrast_and_brightness_hardly_matter():
    images = torch.rand(2, 28, 28, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 100
    torch.testing.assert_close(hog(images), hog(2 * images + 30), rtol=1e-4, atol=1e-6)


def test_intensities_are_means_of_squares_beside_the_histograms():
    images = torch.zeros(1, 28, 28, dtype=torch.uint8)
    images[0, :4, 4:8] = 51
    found = hog_and_intensity(images)
    assert found.dtype == torch.float32
    assert found.shape == (1, 16 * 9 + 49)
    torch.testing.assert_close(found[0, :144], hog(images / 255, block=1)[0])
    torch.testing.assert_close(found[0, 144:147], torch.tensor([0.0, 0.2, 0.0]))


@pytest.mark.parametrize(("shape", "problem"), [
    ((28, 28), "pictures must be grey, .* not \\[28, 28\\]"),
    ((2, 3, 28, 28), "pictures must be grey"),
    ((2, 28, 30), "pictures of \\(28, 30\\) pixels do not split into squares of 7"),
    ((2, 7, 28), "hold no block of 2 × 2 cells of 7 pixels"),
])
def test_pictures_that_do_not_fit_are_refused(shape, problem):
    with pytest.raises(ValueError, match=problem):
        hog(torch.zeros(shape))
