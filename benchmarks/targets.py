"""What every comparison must reach, all in one place, and the verdict on what was found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

QUICK_SHARE = 0.8       # of a target; the quick form fails below it: its runs are short and the machine may be busy


class Target(NamedTuple):
    """A bound from one side."""

    sense: str          # "at least" or "at most"
    bound: float

    def met_by(self, value: float, share: float = 1.0) -> bool:
        """Whether a value reaches the given share of the target; NaN reaches nothing."""
        return value >= share * self.bound if self.sense == "at least" else value <= self.bound / share

    def __str__(self) -> str:
        return f"{self.sense} {self.bound:g}"


def at_least(bound: float) -> Target:
    """Return a bound from below."""
    return Target("at least", bound)


def at_most(bound: float) -> Target:
    """Return a bound from above."""
    return Target("at most", bound)


TARGETS = {
    "Shared-Bottom, fp32: rows/s over the best peer's": at_least(2),
    "MMoE, fp32: rows/s over the best peer's": at_least(1.3),
    "MMoE, bf16: rows/s over the best peer's": at_least(2),
    "PLE, fp32: rows/s over the best peer's": at_least(1.3),
    "PLE, bf16: rows/s over the best peer's": at_least(2),
    "MMoE, bf16: AUC below that of fp32": at_most(0.001),
    "PLE, bf16: AUC below that of fp32": at_most(0.001),
    "Shared-Bottom, fp32: AUC below the best peer's": at_most(0.005),
    "MMoE, fp32: AUC below the best peer's": at_most(0.005),
    "PLE, fp32: AUC below the best peer's": at_most(0.005),
    "MMoE, fp32: share of the machine's matrix-product rate": at_least(0.75),
    "time per row, most rows over fewest": at_most(1.1),
    "time per row, most ids over fewest": at_most(1.3),
    "time per row, slope in tasks": at_most(1.1),
    "time per row, slope in experts": at_most(1.1),
    "8 repeats one after another over stacked": at_least(3),
    "reading: rows/s over a row-wise Dataset's": at_least(20),
    "import beyond torch, seconds": at_most(0.3),
    "slowest lesson, seconds": at_most(45),
    "make test, minutes": at_most(15),
    "PCGrad by representation over the sum": at_most(1.5),
    "MGDA by representation over the sum": at_most(1.5),
    "CAGrad by representation over the sum": at_most(1.5),
    "PCGrad by parameters over torchjd's": at_most(1),
    "MGDA by parameters over torchjd's": at_most(1),
    "CAGrad by parameters over torchjd's": at_most(1),
    "ScenarioTowers: 32 scenarios over 2": at_most(1.6),
    "STAR: 32 scenarios over 2": at_most(1.6),
    "MAML: times as fast as higher, 1 inner step": at_least(20),
    "MAML: times as fast as higher, 5 inner steps": at_least(16),
}


class Finding(NamedTuple):
    """What was measured where something is to be reached."""

    what: str                       # a key of TARGETS
    value: float | None             # None: it could not be measured here
    shown: str = ""                 # the value with its spread; the bare value if left out
    why: str = ""                   # a measured cause, for where the target is missed; or why there is no value

    @property
    def target(self) -> Target:
        """What was to be reached."""
        return TARGETS[self.what]

    @property
    def verdict(self) -> str:
        """Say "met", "missed" or "not measured", the last two with their cause where one is known."""
        if self.value is not None and self.target.met_by(self.value):
            return "met"
        said = "not measured" if self.value is None else "missed"
        return f"{said}: {self.why}" if self.why else said

    @property
    def falls_short(self) -> bool:
        """Whether the quick form fails by this."""
        return self.value is not None and not self.target.met_by(self.value, QUICK_SHARE)

    @property
    def row(self) -> list[str]:
        """The row of a table."""
        shown = self.shown or ("" if self.value is None else f"{self.value:.3g}")
        return [self.what, shown, str(self.target), self.verdict]


HEADER = ["what", "measured", "target", "verdict"]


def falling_short(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each finding under 80 % of its target."""
    return [f"{finding.what}: {finding.value:.3g}, less than {QUICK_SHARE:.0%} of the target {finding.target}"
            for finding in findings if finding.falls_short]
