from benchmarks.maml import verdict
from benchmarks.rounds import Timing


def test_the_median_of_the_rounds_decides_whether_a_target_is_met():
    assert verdict(Timing((5.0, 20.0, 90.0)), 20) == "at least 20: met"
    assert verdict(Timing((19.9, 19.9, 90.0)), 20) == "at least 20: missed"
