import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from benchmarks import throughput
from benchmarks.click_log import click_log
from benchmarks.peers import ARCHITECTURES, PEERS, in_precisions, ours
from benchmarks.rounds import Timing
from benchmarks.throughput import aucs, draw, findings, mean_auc


def times(*names, **microseconds):
    return {(1, architecture, name): Timing((1e-6 * microseconds.get(name.partition(", ")[2], 100),) * 3)
            for architecture in ARCHITECTURES for name in (*names, *PEERS)}


def test_ours_is_held_against_the_fastest_peer():
    found = times("ours, fp32", "ours, bf16", fp32=50, bf16=25)
    for architecture in ARCHITECTURES:
        found[1, architecture, "torch-rechub"] = Timing((8e-5,) * 3)
    scores = {"MMoE": {"ours, fp32": 0.65, "ours, bf16": 0.6496, "DeepCTR-Torch": 0.651, "torch-rechub": 0.6},
              "PLE": {"ours, fp32": 0.64, "ours, bf16": 0.6401}}
    values = {finding.what: finding.value for finding in findings(found, scores)}
    assert values["MMoE, fp32: rows/s over the best peer's"] == pytest.approx(80 / 50)
    assert values["MMoE, bf16: rows/s over the best peer's"] == pytest.approx(80 / 25)
    assert values["MMoE, bf16: AUC below that of fp32"] == pytest.approx(0.0004)
    assert values["PLE, bf16: AUC below that of fp32"] == pytest.approx(-0.0001)
    assert values["MMoE, fp32: AUC below the best peer's"] == pytest.approx(0.001)
    assert len(values) == 8             # without a peer's score there is nothing to hold PLE's against


def test_without_bf16_instructions_its_rows_say_so_and_do_not_fail():
    found = findings(times("ours, fp32", fp32=20), {})
    without = [finding for finding in found if finding.value is None]
    assert [finding.what.partition(":")[0] for finding in without] == ["MMoE, bf16", "PLE, bf16"] * 2
    assert all(throughput.NO_BF16 in finding.verdict and not finding.falls_short for finding in without)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ours_learns_a_click_log(architecture):
    seen, unseen = click_log(30_000, fields=4, ids=30).split(0.7, 0.3)
    assert mean_auc(ours(architecture, seen, "fp32"), unseen, epochs=8) > 0.7


def test_every_start_is_another_and_the_same_in_both_precisions(monkeypatch):
    monkeypatch.setattr(throughput, "mean_auc", lambda candidate, unseen, epochs:
                        float(candidate.probabilities(unseen).mean()))
    log = click_log(100, fields=2, ids=5)
    makers = in_precisions(("fp32", "bf16"))
    once, thrice = (aucs(makers, "Shared-Bottom", log, log, 1, seeds) for seeds in (1, 3))
    assert once["ours, fp32"] == once["ours, bf16"] != thrice["ours, fp32"]


def test_the_figure_shows_every_architecture_with_all_libraries():
    with mpl.rc_context():
        figure = draw(times("ours, fp32", "ours, bf16", fp32=50, bf16=25))
    assert [ax.get_title() or ax.get_title(loc="left") for ax in figure.axes] == list(ARCHITECTURES)
    assert [len(ax.patches) for ax in figure.axes] == [4, 4, 4]
    assert [bar.get_width() for bar in figure.axes[0].patches] == pytest.approx([10, 10, 40, 20])
    assert figure.get_suptitle().endswith("2.0 to 2.0 in fp32, 4.0 to 4.0 in bf16")
    plt.close(figure)
