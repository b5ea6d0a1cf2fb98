"""Ctrl-C and SIGTERM as a request that is honoured at the next safe point."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, ClassVar

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrialPaused(SystemExit):
    """The running trial was given back to the study and will be continued as itself.

    Neither an `Exception` nor a `KeyboardInterrupt`: `study.optimize` would record a failure.
    """


class StopSignals:
    """While active, the first Ctrl-C or SIGTERM sets `received`; a second one acts at once.

    Whoever runs trials may besides ask the running one to end, by setting `ends_trial`.

    Nested uses in a thread share the outermost one. In other threads than the main one, which
    alone gets signals, nothing is ever received.

    Args:
        more: Other signals that are treated alike.

    Examples:
        >>> with StopSignals() as stop:
        ...     stop.received
        False
    """

    _here: ClassVar[threading.local] = threading.local()

    def __init__(self, *more: signal.Signals) -> None:
        self.received = False
        self.ends_trial = False
        self.number: signal.Signals | None = None
        self._signals = (*_SIGNALS, *more)
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def trial_is_to_stop(self) -> bool:
        """Whether the running trial is to be given back at its next safe point."""
        return self.received or self.ends_trial

    def __enter__(self) -> StopSignals:
        outermost: StopSignals | None = getattr(self._here, "outermost", None)
        if outermost is not None:
            return outermost
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._note) for number in self._signals
            }
        self._here.outermost = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if getattr(self._here, "outermost", None) is self:
            self._restore()
            self._here.outermost = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        self.number = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
