"""One process at a time finalizes a study: a claim under a lease, as a trial is.

The owner renews its claim from a thread. Others see by the counter of the lease, never by a
clock of another machine, that it no longer does, and take the claim over when the lease's time
has gone by. What the former owner still does is refused when it is to be stored.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import optuna

from optuna_layerwise.records.final import CLAIM_KEY, Claim, claim_in, utc_now
from optuna_layerwise.storage import (
    LEASE_SECONDS,
    Lease,
    compare_and_set,
    storage_of,
    study_attr,
)
from optuna_layerwise.studies.abandoned import Sight
from optuna_layerwise.studies.leasing import Heartbeat

_SHORTEST_POLL, _LONGEST_POLL = 0.1, 2.0
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_logger = logging.getLogger(__name__)


class FinalizedElsewhere(RuntimeError):
    """Another process finalizes the study at this moment."""


class Held:
    """The claim of this process on a study.

    Args:
        study: The study.
        seconds: How long it holds without being renewed.
    """

    def __init__(self, study: optuna.Study, seconds: float) -> None:
        self._lease = Lease.of_this_process(seconds)
        self._study, self._since = study, ""
        self._heart = Heartbeat(storage_of(study), seconds, renew=self.renew)

    @property
    def lost(self) -> bool:
        """Whether another process was seen to have the claim."""
        return self._heart.lost

    def renew(self, also: Mapping[str, Any] = _NOTHING) -> bool:
        """Give a sign of life, unless the claim is somebody else's by now.

        Args:
            also: Attributes of the study to store with it, in one transaction: only who holds
                the claim stores them.
        """
        return self._replace(lambda lease: self._as_json(lease.renewed()), also)

    def take(self, stored: Any) -> bool:
        """Put this claim in the place of what is stored, unless that has changed meanwhile."""
        self._since = utc_now()
        return compare_and_set(self._study, CLAIM_KEY, stored, self._as_json(self._lease))

    def release(self) -> None:
        """Give the claim back, if it is this process that has it."""
        self._replace(lambda lease: None)

    def _as_json(self, lease: Lease) -> dict[str, Any]:
        return {**lease.as_json(), "since": self._since}

    def _replace(
        self, change: Callable[[Lease], dict[str, Any] | None], also: Mapping[str, Any] = _NOTHING
    ) -> bool:
        while True:
            stored = study_attr(self._study, CLAIM_KEY)
            lease = Lease.from_json(stored)
            if lease is None or lease.token != self._lease.token:
                return False
            if compare_and_set(self._study, CLAIM_KEY, stored, change(lease), also=also):
                return True

    def __enter__(self) -> Held:
        self._heart.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._heart.__exit__(*raised)


@contextlib.contextmanager
def claimed(
    study: optuna.Study,
    *,
    seconds: float = LEASE_SECONDS,
    over: Callable[[], bool] | None = None,
) -> Iterator[Held | None]:
    """Let this process alone finalize the study, inside a ``with`` block.

    The claim of a process that is dead, or gives no sign of life for the time of its lease, is
    taken over. One that lives is waited for, with one line that says so.

    Args:
        study: The study.
        seconds: How long the claim holds without being renewed.
        over: Whether there is nothing left to wait for: then there is no claim. By default a
            sign of life of another process ends the waiting.

    Raises:
        FinalizedElsewhere: if another process lives, and ``over`` is not given.
        UnreadableAttribute: if what is stored of a claim cannot be read.
    """
    held = Held(study, seconds)
    try:  # from before it is taken on: an interruption may come the moment after
        if _take(held, study, over):
            with held:
                yield held
        else:
            yield None
    finally:
        held.release()


def _take(held: Held, study: optuna.Study, over: Callable[[], bool] | None) -> bool:
    sight, pause = None, _SHORTEST_POLL
    while not (over and over()):
        stored = study_attr(study, CLAIM_KEY)
        other = claim_in(stored, study.study_name)
        patience = other.lease.seconds if other and other.lease else LEASE_SECONDS
        sign = other and (other.owner, other.lease and (other.lease.token, other.lease.renewals))
        if other is not None and not other.is_dead:
            if sight is None:
                if over:
                    _say(study, other, patience)
            elif sight.sign != sign and over is None:
                raise FinalizedElsewhere(
                    f"study {study.study_name!r} is being finalized by {other.words}"
                )
            if sight is None or sight.sign != sign:
                sight = Sight(sign)
            if not sight.lasts(patience):
                time.sleep(min(pause, patience / 4))
                pause = min(1.3 * pause, _LONGEST_POLL)
                continue
        if held.take(stored):
            return True
    return False


def _say(study: optuna.Study, other: Claim, patience: float) -> None:
    since = f" since {other.since}" if other.since else ""
    _logger.warning(
        "study %r is being finalized by %s%s; waiting for its result, and at most %g s for a "
        "sign of life",
        *(study.study_name, other.words, since, patience),
    )
