import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mtl_tutorial.classroom import at_least, at_most, between, gains, loses
from mtl_tutorial.classroom.ledger import claims_of


def paired(mean, low, high):
    return SimpleNamespace(mean=mean, low=low, high=high)


def make_claim(shell, value, predicate):
    shell["value"], shell["predicate"] = value, predicate
    [output] = shell.run("from mtl_tutorial.classroom import claim\n"
                         "claim('01.gates_differ', 'the gates\\n  differ', value, predicate)")
    assert set(output.data) == {"text/plain"}
    json.dumps(output.metadata, allow_nan=False)
    return output.data["text/plain"], output.metadata["mtl_tutorial"]


@pytest.mark.parametrize(("value", "predicate"), [
    (0.3, at_least(0.3)), (1, at_least(0.3)), (np.float32(0.5), at_least(0.3)), (torch.tensor(0.5), at_least(0.3)),
    (torch.ones(3, requires_grad=True), at_least(1)), ([0.1, 0.2], at_most(0.2)), (np.arange(3), between(0, 2)),
    (float("inf"), at_least(1)), (paired(0.2, 0.1, 0.3), gains()), (paired(0.2, 0.1, 0.3), gains(0.05)),
    (paired(-0.2, -0.3, -0.1), loses()), (paired(np.float64(-0.2), torch.tensor(-0.3), -0.1), loses(0.05)),
])
def test_claim_that_holds_is_one_line_without_figures(shell, value, predicate):
    line, told = make_claim(shell, value, predicate)
    assert line == "✓ 01.gates_differ  the gates differ"
    assert told["held"] is True
    assert (told["claim"], told["expected"]) == ("01.gates_differ", predicate.expected)


@pytest.mark.parametrize(("value", "predicate", "measured"), [
    (0.2, at_least(0.3), "measured 0.2, expected at least 0.3"),
    (0.4, at_most(0.3), "measured 0.4, expected at most 0.3"),
    ([0.5, 3.0], between(0, 2), "measured [0.5, 3], expected between 0 and 2"),
    (paired(0.2, -0.1, 0.5), gains(), "measured 0.2 [-0.1, 0.5], expected interval above 0"),
    (paired(0.2, 0.1, 0.3), gains(0.1), "expected interval above 0.1"),
    (paired(-0.2, -0.3, 0.0), loses(), "expected interval below 0"),
])
def test_claim_that_fails_tells_measured_and_expected(shell, value, predicate, measured):
    line, told = make_claim(shell, value, predicate)
    assert line.startswith("✗ 01.gates_differ  the gates differ: ")
    assert line.endswith(measured)
    assert told["held"] is False


@pytest.mark.parametrize(("value", "predicate", "verdict"), [
    (paired(0.2, -0.1, 0.5), gains(), "not resolved, the interval includes zero: measured"),
    (paired(0.2, 0.0, 0.4), gains(), "not resolved, the interval includes zero: measured"),
    (paired(-0.2, -0.3, -0.1), gains(), "contradicted: measured"),
    (paired(0.2, 0.1, 0.3), gains(0.15), "not resolved, the interval includes 0.15: measured"),
    (paired(0.2, 0.1, 0.3), gains(0.4), "contradicted: measured"),
    (paired(-0.2, -0.5, 0.1), loses(), "not resolved, the interval includes zero: measured"),
    (paired(0.2, 0.1, 0.3), loses(), "contradicted: measured"),
    (paired(-0.2, -0.3, -0.1), loses(0.15), "not resolved, the interval includes -0.15: measured"),
    (paired(-0.2, -0.3, -0.1), loses(0.4), "contradicted: measured"),
    (paired(float("nan"), float("nan"), float("nan")), gains(), "measured"),
    (0.2, at_least(0.3), "measured"),
])
def test_failed_comparison_is_contradicted_or_not_resolved(shell, value, predicate, verdict):
    line, told = make_claim(shell, value, predicate)
    assert line.startswith(f"✗ 01.gates_differ  the gates differ: {verdict}")
    assert told["held"] is False


@pytest.mark.parametrize("predicate", [at_least(-1e9), at_most(1e9), between(-1e9, 1e9)])
@pytest.mark.parametrize("value", [float("nan"), np.nan, torch.tensor([1.0, float("nan")])])
def test_nan_never_holds(shell, value, predicate):
    line, told = make_claim(shell, value, predicate)
    assert "nan" in line
    assert told["held"] is False


def test_nan_interval_neither_gains_nor_loses(shell):
    nan = float("nan")
    assert make_claim(shell, paired(nan, nan, nan), gains())[1]["held"] is False
    assert make_claim(shell, paired(nan, nan, nan), loses())[1]["held"] is False


@pytest.mark.parametrize(("value", "predicate", "reason"), [
    ("0.9", at_least(0.3), "str (a number or an array of numbers is needed)"),
    (None, at_least(0.3), "NoneType (a number"),
    (True, at_least(0.3), "bool (a number"),
    ([], at_least(0.3), "nothing was measured"),
    (0.9, gains(), "a paired comparison with mean, low and high is needed"),
    (np.ones(3), gains(), "a paired comparison"),
    (0.9, 0.3, "expected a predicate such as at_least(0.5)"),
    ([[1], [2, 3]], at_least(0), "list ("),
])
def test_claim_that_cannot_be_checked_fails_with_the_reason(shell, value, predicate, reason):
    line, told = make_claim(shell, value, predicate)
    assert line.startswith("✗ ")
    assert reason in line
    assert told["held"] is False


def test_claims_are_read_back_from_a_notebooks_outputs(shell):
    [output] = shell.run("from mtl_tutorial.classroom import claim, at_least\nclaim('01.a', 'b', 2.0, at_least(1))")
    notebook = {"cells": [{"outputs": [{"output_type": "display_data", "metadata": output.metadata}]}, {}]}
    assert claims_of(notebook) == [{"claim": "01.a", "held": True, "value": 2.0, "expected": "at least 1"}]
