from mtl_tutorial.classroom.ledger import claims_of


def output(note, kind="display_data"):
    return {"output_type": kind, "data": {}, "metadata": {"mtl_tutorial": note}}


def test_claims_are_read_in_order_and_nothing_else_is():
    first = {"claim": "01.a", "held": True, "value": 1.0, "expected": "at least 0"}
    second = {"claim": "01.b", "held": False, "value": 0.0, "expected": "at least 1"}
    cells = [
        {"cell_type": "markdown", "source": "✓ not a claim"},
        {"outputs": [output(first), {"output_type": "stream", "text": "✓ 01.c"}, output(second)]},
        {"outputs": [output({"exercise": "01.x"}), {"output_type": "display_data", "data": {}}]},
    ]
    assert claims_of({"cells": cells}) == [first, second]
