"""What a computation costs: its operations and calls, counted, and where its time goes, measured."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

GROUPS = {                              # what it is -> what the profiler calls it
    "products": r"mkldnn::_linear_pointwise|aten::(mm|bmm|addmm|baddbmm)",
    "lookups, of embeddings and of the batch": r"aten::(index|embedding|scatter_add)(_.*)?",
    "Adam": r"aten::_fused_adam.*|Optimizer\..*",
    "elementwise, sums, copies": r"aten::(threshold|clamp|relu|add|sub|mul|div|exp|neg|sum|_softmax|copy|cat|fill|"
                                 r"where|binary_cross_entropy|log_sigmoid)(_.*)?",
}
REST = "Python and what is left"


class Work(NamedTuple):
    """What a computation asks of any machine."""

    operations: int     # floating-point operations of its matrix products; a multiplication and an addition are two
    calls: int          # of torch's operators

    def __sub__(self, other: Work) -> Work:
        """Return by how much more work this is."""
        return Work(self.operations - other.operations, self.calls - other.calls)


def work_of(call: Callable[[], object]) -> Work:
    """Do a computation and count its work, backward passes included.

    Every run counts the same, however busy the machine is. Operations are the same on every machine, too; calls may
    differ where a layer is computed by another library or on another device.
    """
    with FlopCounterMode(display=False) as operations, _Calls() as calls:
        call()
    return Work(operations.get_total_flops(), calls.count)


def shares_of_time(call: Callable[[], object]) -> dict[str, float]:
    """Do a computation on the CPU under torch's profiler and return what -> its share of the time.

    The shares sum to 1. The profiler itself slows down what many small calls do.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")          # of the profiler: no chatter on stderr
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        start = time.perf_counter()
        call()
        total = time.perf_counter() - start
    seconds = dict.fromkeys(GROUPS, 0.0)
    for event in profiled.key_averages():
        group = next((group for group, names in GROUPS.items() if re.fullmatch(names, event.key)), None)
        if group:
            seconds[group] += 1e-6 * event.self_cpu_time_total
    shares = {group: taken / total for group, taken in seconds.items()}
    return shares | {REST: 1 - sum(shares.values())}


class _Calls(TorchDispatchMode):
    """Counts the calls of torch's operators."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, types, arguments=(), named=None):
        self.count += 1
        return operator(*arguments, **(named or {}))
