import math

import pytest

from benchmarks import targets
from benchmarks.targets import Finding, at_least, at_most, falling_short


@pytest.fixture(autouse=True)
def two_targets(monkeypatch):
    monkeypatch.setattr(targets, "TARGETS", {"speed": at_least(2), "cost": at_most(1.6)})


@pytest.mark.parametrize(("what", "value", "met", "passes"), [
    ("speed", 2.0, True, True), ("speed", 1.99, False, True), ("speed", 1.6, False, True),
    ("speed", 1.59, False, False), ("cost", 1.6, True, True), ("cost", 1.61, False, True),
    ("cost", 2.0, False, True), ("cost", 2.01, False, False),
    ("speed", math.nan, False, False), ("cost", math.nan, False, False)])
def test_a_target_is_met_from_its_own_side_and_the_quick_form_leaves_a_fifth(what, value, met, passes):
    finding = Finding(what, value)
    assert (finding.verdict == "met") is met
    assert finding.falls_short is not passes


def test_a_missed_target_names_its_measured_cause_and_a_met_one_does_not():
    why = "the machine's limit is 1.7"
    assert Finding("speed", 1.5, why=why).verdict == "missed: the machine's limit is 1.7"
    assert Finding("speed", 1.5).verdict == "missed"
    assert Finding("speed", 2.5, why=why).verdict == "met"


def test_what_this_machine_cannot_measure_says_so_and_fails_nothing():
    finding = Finding("speed", None, why="no bf16 instructions")
    assert finding.row == ["speed", "", "at least 2", "not measured: no bf16 instructions"]
    assert not finding.falls_short


def test_a_row_shows_the_spread_where_there_is_one():
    assert Finding("cost", 1.234567, "1.23 [1.1, 1.3]").row == ["cost", "1.23 [1.1, 1.3]", "at most 1.6", "met"]
    assert Finding("cost", 1.234567).row[1] == "1.23"


def test_lines_name_what_falls_short():
    found = [Finding("speed", 1.0), Finding("cost", 1.0), Finding("speed", None)]
    assert falling_short(found) == ["speed: 1, less than 80% of the target at least 2"]
