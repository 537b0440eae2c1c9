import matplotlib.pyplot as plt
import pytest
import torch

from benchmarks import comparison, targets
from benchmarks.comparison import Form, Report, main
from benchmarks.report import write_section
from benchmarks.targets import Finding, at_least


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    path = tmp_path / "results.md"
    monkeypatch.setattr(targets, "TARGETS", {"speed": at_least(2)})
    monkeypatch.setattr(comparison, "RESULTS", path)
    monkeypatch.setattr(comparison, "write_section", lambda title, body: write_section(title, body, path))
    threads = torch.get_num_threads()
    yield path
    torch.set_num_threads(threads)


def measuring(speed, asked, figure=None):
    def compare(form):
        asked.append(form)
        return Report("What was measured.", [Finding("speed", speed)], {"speed": figure} if figure else {})

    return compare


def draw():
    figure, ax = plt.subplots()
    ax.set_title("Twice as fast", loc="left")
    return figure


@pytest.mark.parametrize(("words", "form"), [
    ([], Form(20, False)), (["--quick"], Form(3, True)), (["--rounds", "7"], Form(7, False)),
    (["--quick", "--rounds", "5"], Form(5, True))])
def test_the_form_is_what_the_command_line_asks_for(words, form):
    asked = []
    main("Speed", "How fast.", measuring(2.5, asked), rounds=20, words=words)
    assert asked == [form]


def test_the_full_form_writes_its_section_with_the_verdicts_and_the_figure(results, capsys):
    main("Speed", "How fast.", measuring(2.5, [], draw), rounds=20, words=[])
    written = results.read_text("utf-8")
    assert "What was measured." in written
    assert "| speed | 2.5 | at least 2 | met |" in written
    assert "![Twice as fast](speed.png)" in written
    assert results.with_name("speed.png").exists()
    assert "| speed | 2.5 | at least 2 | met |" in capsys.readouterr().out
    plt.close("all")


def test_the_full_form_writes_a_missed_target_down_and_ends_well(results):
    main("Speed", "How fast.", measuring(0.5, []), rounds=20, words=[])
    assert "| speed | 0.5 | at least 2 | missed |" in results.read_text("utf-8")


def test_the_quick_form_prints_the_verdicts_and_writes_nothing(results, capsys):
    main("Speed", "How fast.", measuring(1.7, [], draw), rounds=20, words=["--quick"])
    assert "| speed | 1.7 | at least 2 | missed |" in capsys.readouterr().out
    assert list(results.parent.iterdir()) == []


def test_the_quick_form_fails_under_four_fifths_of_a_target(results, capsys):
    with pytest.raises(SystemExit) as stop:
        main("Speed", "How fast.", measuring(1.5, []), rounds=20, words=["--quick"])
    assert stop.value.code == "speed: 1.5, less than 80% of the target at least 2"
    assert "| speed | 1.5 | at least 2 | missed |" in capsys.readouterr().out
    assert list(results.parent.iterdir()) == []
