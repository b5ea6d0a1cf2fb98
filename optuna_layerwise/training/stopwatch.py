"""Seconds by phase: data, forward, backward, evaluation; a GPU's own clock where there is one."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the seconds of named phases; one inside another counts for the outer.

    A GPU works on after a call returns, so there it is asked when each phase began and ended, by
    events in its stream; reading `seconds` waits for them.

    Examples:
        >>> watch = Stopwatch(torch.device("cpu"))
        >>> with watch.phase("data"):
        ...     pass
        >>> list(watch.seconds)
        ['data']
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[str, float] = defaultdict(float)
        self._pending: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._running = False

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens meanwhile for a phase."""
        if self._running:
            yield
            return
        self._running, begin = True, self._now()
        try:
            yield
        finally:
            self._running = False
            end = self._now()
            if isinstance(begin, float) and isinstance(end, float):
                self._seconds[name] += end - begin
            elif isinstance(begin, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
                self._pending.append((name, begin, end))

    @property
    def seconds(self) -> dict[str, float]:
        """Of each phase so far."""
        if self._pending:
            torch.cuda.synchronize(self._device)
        for name, begin, end in self._pending:
            self._seconds[name] += begin.elapsed_time(end) / 1000
        self._pending = []
        return dict(self._seconds)

    def _now(self) -> float | torch.cuda.Event:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event
