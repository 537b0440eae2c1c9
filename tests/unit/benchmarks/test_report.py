import matplotlib.pyplot as plt
import pytest

from benchmarks import report
from benchmarks.report import milliseconds, ratio, table, write_figure, write_section
from benchmarks.rounds import Timing
from benchmarks.targets import HEADER


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


def test_what_is_held_against_a_target_stands_in_one_table_at_the_top(tmp_path):
    path = tmp_path / "results.md"
    found = {"First thing": ["a", "3", "at least 2", "met"], "Second": ["b", "1", "at least 2", "missed: why"]}
    for title, row in found.items():
        write_section(title, f"text\n\n{table(['other', 'columns'], [['1', '2']])}\n\n{table(HEADER, [row])}", path)
    write_section("Third", "nothing to reach", path)
    write_section("Second", table(HEADER, [["b", "2.5", "at least 2", "met"]]), path)
    before = path.read_text(encoding="utf-8")
    top = before[:before.index("## First thing")]
    assert [line for line in top.splitlines() if line.startswith("| [")] == [
        "| [First thing](#first-thing) | a | 3 | at least 2 | met |",
        "| [Second](#second) | b | 2.5 | at least 2 | met |"]
    assert "other" not in top
    assert before.count("# Results") == 1


def test_a_figure_is_written_and_its_title_returned(tmp_path):
    figure, ax = plt.subplots()
    ax.set_title("It is flat", loc="left")
    path = tmp_path / "found.png"
    assert write_figure(figure, path) == "It is flat"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]
    plt.close(figure)
