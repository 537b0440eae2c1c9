"""The most memory that the processes started from here hold at one time."""

import threading

import psutil

MIB = 2**20


class PeakMemory:
    """Samples the resident memory of all child processes, and theirs, while its ``with`` block runs.

    Attributes:
        mib: the largest sum seen, in MiB.
    """

    def __init__(self, interval: float = 0.1):
        self.mib = 0.0
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(self._interval):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.Error:        # it has just ended
                    continue
            self.mib = max(self.mib, total / MIB)
