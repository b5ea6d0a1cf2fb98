"""Keeping a number of workers alive, wherever they run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from optuna_layerwise.launch.exits import DONE, FAILED, HALTED, INTERRUPTED, WRONG
from optuna_layerwise.studies.pausing import StopSignals

_POLL_SECONDS = 0.2
_LONGEST_PAUSE = 60.0
_SOUND_SECONDS = 300.0
"""A worker that has lived so long may die as often again as at first."""


class Running(Protocol):
    """A worker that was started."""

    name: str
    """For people."""
    log: str
    """Where its output is."""

    def poll(self) -> int | None:
        """Its exit code once it has ended; negative or unknown to us if it was killed."""

    def stop(self) -> None:
        """Ask it to give its trial back and to end."""

    def kill(self) -> None:
        """End it at once."""


@dataclasses.dataclass
class _Seat:
    """A place for one worker after the other.

    Args:
        start: Starts one.
        worker: The one that runs, or the one that ended last.
        deaths: Number of deaths in a row.
        since: When the worker was started.
        due: When the next one is to be started.
        code: Exit code of the last worker; set when no other one will be started.
    """

    start: Callable[[], Running]
    worker: Running | None = None
    deaths: int = 0
    since: float = 0.0
    due: float = 0.0
    code: int | None = None


def supervise(
    starts: Sequence[Callable[[], Running]],
    *,
    restarts: int,
    say: Callable[[str], None],
    on_poll: Callable[[], None],
    backoff: float = 1.0,
) -> int:
    """Run one worker a seat until all have ended; the dead are started again.

    A worker that raised an error or was killed is started again after a pause that doubles; one
    that ended for a reason (target, order, signal, wrong options) is not. The first Ctrl-C or
    SIGTERM is passed on once, and the workers' ends are waited for; a second one kills them.

    Args:
        starts: One function for each seat.
        restarts: Of a seat, in a row.
        say: Told what happens to workers.
        on_poll: Called several times a second.
        backoff: Seconds of the first pause.

    Returns:
        The exit code of the whole: `DONE` if a worker found the target reached.
    """
    seats = [_Seat(start) for start in starts]
    asked = False
    with StopSignals() as stop:
        try:
            while any(seat.code is None for seat in seats):
                if stop.received and not asked:
                    asked = True
                    say("asking the workers to give their trials back")
                    _stop(seats)
                for seat in seats:
                    if seat.code is None:
                        _look(seat, restarts, backoff, say, ending=stop.received)
                on_poll()
                time.sleep(_POLL_SECONDS)
        except BaseException:
            for seat in seats:
                if seat.code is None and seat.worker is not None:
                    seat.worker.kill()
            raise
    if stop.received:
        return INTERRUPTED
    return _whole({seat.code for seat in seats})


def _look(
    seat: _Seat, restarts: int, backoff: float, say: Callable[[str], None], *, ending: bool
) -> None:
    """Start the seat's worker if it is time to, or see whether it has ended."""
    now = time.monotonic()
    if seat.worker is None:
        if ending:
            seat.code = INTERRUPTED
        elif now >= seat.due:
            seat.worker, seat.since = seat.start(), now
        return
    code = seat.worker.poll()
    if code is None:
        return
    name, log = seat.worker.name, seat.worker.log
    if ending or code in (DONE, HALTED, INTERRUPTED, WRONG):
        seat.code = code
        if code == WRONG:
            say(f"worker {name} cannot work; its output: {log}")
        return
    seat.deaths = 1 if now - seat.since > _SOUND_SECONDS else seat.deaths + 1
    died = f"worker {name} ended with exit code {code}; its output: {log}"
    if seat.deaths > restarts:
        say(f"{died}; it is not started again after {restarts} times")
        seat.code = FAILED
        return
    pause = min(backoff * 2 ** (seat.deaths - 1), _LONGEST_PAUSE)
    say(f"{died}; started again in {pause:.0f} s ({seat.deaths} of {restarts})")
    seat.worker, seat.due = None, now + pause


def _stop(seats: Sequence[_Seat]) -> None:
    for seat in seats:
        if seat.code is None and seat.worker is not None:
            seat.worker.stop()


def _whole(codes: set[int | None]) -> int:
    for code in (DONE, HALTED, INTERRUPTED, FAILED):
        if code in codes:
            return code
    return WRONG
