import pytest

from benchmarks import report
from benchmarks.report import milliseconds, ratio, table, write_section
from benchmarks.rounds import Timing


def headings(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]


def test_a_section_names_the_machine_and_replaces_its_own_earlier_text_alone(tmp_path):
    path = tmp_path / "results.md"
    for title, body in (("First", "one"), ("Second", "two"), ("First in line", "three")):
        write_section(title, body, path)
    before = path.read_text(encoding="utf-8")
    assert headings(path) == ["# Results", "## First", "## Second", "## First in line"]
    assert before.count("torch ") == 3
    write_section("First", "another\n\n### with a heading", path)
    after = path.read_text(encoding="utf-8")
    assert headings(path) == ["# Results", "## First", "### with a heading", "## Second", "## First in line"]
    assert "one\n" not in after
    assert after[after.index("## Second"):] == before[before.index("## Second"):]


def test_writing_the_same_twice_changes_nothing(tmp_path):
    path = tmp_path / "results.md"
    write_section("First", "one", path)
    write_section("Second", "two", path)
    before = path.read_bytes()
    write_section("Second", "two", path)
    assert path.read_bytes() == before


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "results.md"
    write_section("First", "one", path)
    before = path.read_bytes()

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr(report.os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_section("First", "two", path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_are_written_with_their_quartiles():
    timing = Timing((0.005, 0.001, 0.003, 0.002, 0.004))
    assert milliseconds(timing) == "3.0 [2.0, 4.0]"
    assert ratio(timing.over(Timing((0.001,) * 5))) == "3.00 [2.00, 4.00]"


def test_a_table_is_markdown():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
