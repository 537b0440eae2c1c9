from itertools import combinations

import pytest
import torch

from mtl_tutorial.zero_shot.calibrated_stacking import calibrated_predict
from mtl_tutorial.zero_shot.class_statistics import class_splits
from mtl_tutorial.zero_shot.eszsl import ESZSL
from mtl_tutorial.zero_shot.harmonic import generalised_accuracy
from mtl_tutorial.zero_shot.held_out_classes import choose_factors

FACTORS = torch.linspace(-0.5, 1.5, 21).double()


def scorer(drawn):
    x, y, table = drawn
    return lambda seen: ESZSL(0.1, 0.1).fit(x, y, table, seen).decision_function(x)


def test_factor_is_that_of_a_loop_over_ways_and_factors(drawn):
    x, y, table = drawn
    seen = class_splits(6, 1)
    found = choose_factors(scorer(drawn), y, seen, 2, FACTORS)
    for split in (0, 3):
        own = seen[split].nonzero().squeeze(-1).tolist()
        rows = seen[split][y]
        total = torch.zeros(len(FACTORS)).double()
        for away in combinations(own, 2):
            taught = seen[split].clone()
            taught[list(away)] = False
            scores = ESZSL(0.1, 0.1).fit(x, y, table, taught).decision_function(x[rows])
            scores[:, ~seen[split]] = -torch.inf                    # truly unseen: they do not compete
            for place, factor in enumerate(FACTORS):
                right = generalised_accuracy(calibrated_predict(scores, taught, factor), y[rows], taught)
                total[place] += right[2]
        best = (total >= total.max() - 1e-9).nonzero().squeeze(-1)
        assert found[split] == FACTORS[best[len(best) // 2]]


def test_unseen_rows_have_no_part_in_it(drawn):
    x, y, table = drawn
    seen = class_splits(6, 2)[:3]
    found = choose_factors(scorer(drawn), y, seen, 1, FACTORS)
    for split in range(3):
        garbage = torch.where(seen[split][y].unsqueeze(-1), x, 1e3)
        alone = choose_factors(scorer((garbage, y, table)), y, seen[split:split + 1], 1, FACTORS)
        assert found[split] == alone[0]


def test_only_sets_of_seen_classes_are_trained_on(drawn):
    _, y, _ = drawn
    asked = []

    def spy(taught):
        asked.append(taught)
        return scorer(drawn)(taught)

    seen = torch.tensor([[True, True, True, True, False, False]])
    choose_factors(spy, y, seen, 1, FACTORS)
    [taught] = asked
    assert taught.shape == (4, 6)
    assert not taught[:, 4:].any()


@pytest.mark.parametrize(("seen", "held_out", "problem"), [
    (torch.tensor([[True, True, True], [True, True, False]]), 1, r"splits have \[2, 3\] seen classes"),
    (torch.tensor([[True, True, True, False]]), 2, "held_out=2 of 3 seen classes: take 1 … 1"),
    (torch.tensor([[True, True, True, False]]), 0, "held_out=0 of 3"),
])
def test_what_leaves_nothing_to_learn_is_refused(seen, held_out, problem):
    with pytest.raises(ValueError, match=problem):
        choose_factors(lambda taught: None, torch.zeros(3, dtype=torch.long), seen, held_out, FACTORS)
