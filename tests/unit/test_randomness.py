import numpy as np
import pytest
import torch

from mtl_tutorial.randomness import draw_seed, weights_drawn_with


def test_a_number_always_gives_the_same_seed_and_a_generator_goes_on():
    assert draw_seed(3) == draw_seed(3) != draw_seed(4)
    state = np.random.RandomState(0)
    assert draw_seed(state) != draw_seed(state)


def test_weights_follow_the_seed_and_the_global_generator_stays_as_it_was():
    before = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        with weights_drawn_with(seed):
            drawn.append(torch.nn.Linear(3, 2).weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_generator_comes_back_after_an_error():
    def fail():
        with weights_drawn_with(1):
            raise ArithmeticError

    before = torch.get_rng_state()
    with pytest.raises(ArithmeticError):
        fail()
    assert torch.equal(torch.get_rng_state(), before)
