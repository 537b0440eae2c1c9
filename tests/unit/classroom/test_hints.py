import pytest

from mtl_tutorial.classroom import hint
from mtl_tutorial.classroom.progress import progress

START = "from mtl_tutorial.classroom import hint, solution\n"


def test_hints_come_one_by_one_and_are_remembered(shell, mix):
    first, second, after = (shell.texts(START + "hint('01.mix_experts')")[0] for _ in range(3))
    assert first.splitlines() == ["01.mix_experts · hint 1 of 2", "  which axis holds the experts?"]
    assert second.startswith("01.mix_experts · hint 2 of 2")
    assert "that was the last hint" in after
    assert 'solution("01.mix_experts")' in after
    assert progress().hints_shown("01.mix_experts") == 2


def test_solution_is_the_references_source(shell, mix):
    [output] = shell.run(START + "solution('01.mix_experts')")
    assert output.data["text/plain"].startswith("def mix_experts(expert_outputs, gate_logits):")
    assert output.data["text/markdown"].startswith("~~~~python\ndef mix_experts")


def test_unknown_id_is_named(mix):
    with pytest.raises(KeyError, match=r"there is no exercise '01\.bogus'"):
        hint("01.bogus")
