import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from benchmarks.growth import GROWTH, QUICK, draw, findings, slope
from benchmarks.rounds import Timing


def timing(microseconds):
    return Timing((1e-6 * microseconds,) * 3)


@pytest.fixture
def curves():
    return {"rows": {100: timing(50), 10_000: timing(52)},
            "ids": {10**4: timing(55), 10**6: timing(58), 10**7: timing(60)},
            "ids, whole table": {10**4: timing(50), 10**7: timing(5000)},
            "tasks": {2: timing(50), 8: timing(50)},
            "experts": {4: timing(30), 8: timing(60), 64: timing(480)}}


def test_a_time_that_grows_in_proportion_has_slope_1_and_a_constant_one_0(curves):
    assert slope(curves["experts"]) == pytest.approx(1)
    assert slope(curves["tasks"]) == 0


def test_many_ids_are_held_against_the_faster_form_of_the_update_for_few(curves):
    found = {finding.what: finding.value for finding in findings(curves)}
    assert found["time per row, most ids over fewest"] == pytest.approx(60 / 50)
    assert found["time per row, most rows over fewest"] == pytest.approx(52 / 50)


@pytest.mark.parametrize("growth", [GROWTH, QUICK])
def test_both_forms_measure_what_is_held_against_targets(growth):
    found = {what: {getattr(size, what.partition(",")[0]): timing(1) for size in line}
             for what, line in growth.items()}
    assert len(findings(found)) == 4
    assert all(len(found[what]) > 1 for what in ("rows", "ids", "tasks", "experts"))


def test_the_figures_title_says_what_was_found(curves):
    with mpl.rc_context():
        figure = draw(curves)
    assert figure.get_suptitle() == ("A row costs 1.04 × as much among 10,000 rows, "
                                     "1.20 × as much with 10,000,000 ids")
    assert [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes] == [
        "slope 0.01", "slope 0.01", "slope 0.00", "slope 1.00"]
    plt.close(figure)
