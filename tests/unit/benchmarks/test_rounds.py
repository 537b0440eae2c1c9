import time

import pytest

from benchmarks.rounds import Timing, interleaved


def test_every_candidate_is_called_once_per_round_in_changing_order():
    calls = []
    found = interleaved({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=20, warm_up=2)
    rounds = [calls[start:start + 3] for start in range(0, len(calls), 3)]
    assert len(rounds) == 22
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len({tuple(order) for order in rounds}) > 2
    assert {name: len(timing.samples) for name, timing in found.items()} == {"a": 20, "b": 20, "c": 20}


def test_seconds_are_those_of_the_call():
    found = interleaved({"slow": lambda: time.sleep(0.02), "fast": lambda: None}, rounds=3, warm_up=0)
    assert min(found["slow"].samples) >= 0.02
    assert found["fast"].median < 0.01


def test_median_and_quartiles():
    timing = Timing((5.0, 1.0, 3.0, 2.0, 4.0))
    assert timing.median == 3
    assert timing.quartiles == (2, 4)


def test_a_ratio_is_taken_round_by_round():
    assert Timing((2.0, 30.0)).over(Timing((1.0, 10.0))).samples == (2, 3)


def test_one_thing_took_its_share():
    assert Timing((2.0, 30.0)).per(10).samples == (0.2, 3.0)


def test_one_round_has_no_spread():
    with pytest.raises(ValueError, match="rounds=1: a spread needs at least 2"):
        interleaved({"a": lambda: None}, rounds=1)
