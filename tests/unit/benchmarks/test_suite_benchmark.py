import json
import sys

import pytest

from benchmarks import suite
from benchmarks.comparison import Form
from benchmarks.rounds import Timing


def test_imports_are_timed_in_fresh_processes_that_have_torch_already():
    imports = {"nothing": "import torch", "slow": "time.sleep(0.2)"}
    found = suite.import_seconds(sys.executable, 2, imports)
    assert found["nothing"].median < 0.05
    assert min(found["slow"].samples) >= 0.2
    assert len(found["slow"].samples) == 2


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A suite of two notebooks whose commands are only noted."""
    called = []
    (tmp_path / "build" / "run").mkdir(parents=True)
    (tmp_path / "build" / "run" / "table.json").write_text(json.dumps([
        {"notebook": "01_first", "seconds": 12.0, "peak_mib": 500.2, "claims": [{}, {}], "held": 2},
        {"notebook": "02_second", "seconds": 47.0, "peak_mib": 700.0, "claims": [{}], "held": 1}]))
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr(suite, "lessons_python", lambda: "python")
    monkeypatch.setattr(suite, "import_seconds", lambda python, rounds: dict.fromkeys(
        suite.IMPORTS, Timing((0.1, 0.2, 0.3))))

    def compare(passes, quick=False):
        monkeypatch.setattr(suite, "command", lambda python, name: (called.append(name), (passes, 12.0))[1])
        return suite.compare(Form(3, quick)), called

    return compare


def test_the_suite_runs_its_notebooks_then_its_tests_and_reports_both(measured):
    report, called = measured(passes=True)
    assert called == ["run", "test"]
    assert "| 01_first | 12.0 | 500 | 2/2 |" in report.body
    assert [(finding.value, finding.verdict) for finding in report.findings] == [
        (0.2, "met"), (47.0, "missed"), (12.0, "met")]


def test_minutes_of_tests_that_fail_are_no_result(measured):
    report, _ = measured(passes=False)
    assert report.findings[-1].verdict == "not measured: a test failed"


def test_the_quick_form_runs_neither(measured):
    report, called = measured(passes=True, quick=True)
    assert called == []
    assert report.findings == ()
