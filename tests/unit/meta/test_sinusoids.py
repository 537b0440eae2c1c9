import math

import torch

from mtl_tutorial.meta.sinusoids import draw_sinusoids


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_amplitudes_phases_and_inputs_fill_the_papers_ranges():
    waves = draw_sinusoids(4000, generator())
    x = waves.episodes(2, 3, generator(1)).query_x
    for found, low, high in ((waves.amplitude, 0.1, 5), (waves.phase, 0, math.pi), (x, -5, 5)):
        assert low <= found.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < found.max() <= high
        torch.testing.assert_close(found.mean().item(), (low + high) / 2, rtol=0, atol=0.03 * (high - low))


def test_targets_are_the_wave_of_their_own_task():
    waves = draw_sinusoids(3, generator())
    episodes = waves.episodes(4, 5, generator(1))
    for task in range(3):
        for x, y in ((episodes.support_x, episodes.support_y), (episodes.query_x, episodes.query_y)):
            torch.testing.assert_close(y[task], waves.amplitude[task] * torch.sin(x[task] - waves.phase[task]))
    assert episodes.support_x.shape == (3, 4, 1)
    assert episodes.query_y.shape == (3, 5, 1)


def test_the_same_generator_draws_the_same_and_another_does_not():
    first, again, other = (draw_sinusoids(3, generator(seed)).episodes(2, 2, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.query_y, again.query_y)
    assert not torch.equal(first.query_y, other.query_y)
