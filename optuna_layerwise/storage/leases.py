"""The lease on a running trial: who runs it, by which token, and that it still does.

One attribute of the trial, plain JSON. Its counter of renewals is what others watch; the time
at which it runs out is stored for people to read, since the clocks of two machines may differ.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from optuna.trial import FrozenTrial

from optuna_layerwise.storage.owner import Owner

LEASE_KEY = "olw:lease"
"""Trial system attribute."""
LEASE_SECONDS = 60.0
"""How long a trial stays with a worker that gives no sign of life."""
LONGEST_LEASE = 3600.0
NO_LEASE: dict[str, Any] = {"v": 1}
"""What a trial holds that was given back."""


class LeaseLostError(RuntimeError):
    """The trial is no longer this worker's: its result was not stored."""


@dataclasses.dataclass(frozen=True)
class Lease:
    """Of one worker on one trial.

    Args:
        owner: The process that runs the trial.
        token: Random; tells the lease from every other one.
        seconds: How long it holds without being renewed.
        renewals: How often it was.
        checkpoint: The newest checkpoint of the trial, if the worker told one.

    Examples:
        >>> lease = Lease.of_this_process(60)
        >>> Lease.from_json(lease.as_json()) == lease
        True
    """

    owner: Owner
    token: str
    seconds: float
    renewals: int = 0
    checkpoint: str | None = None

    @classmethod
    def of_this_process(cls, seconds: float = LEASE_SECONDS) -> Lease:
        """A new one.

        Raises:
            ValueError: if it would not hold for a time above 0 and of at most an hour.
        """
        if not 0 < seconds <= LONGEST_LEASE:
            raise ValueError(f"lease_seconds must be above 0 and at most 3600, got {seconds}")
        return cls(Owner.of_this_process(), secrets.token_hex(16), float(seconds))

    def renewed(self) -> Lease:
        """The same lease with one more sign of life."""
        return dataclasses.replace(self, renewals=self.renewals + 1)

    def as_json(self) -> dict[str, Any]:
        """As stored, with the UTC time at which it runs out."""
        expires = datetime.now(timezone.utc) + timedelta(seconds=self.seconds)
        return {
            "v": 1,
            **dataclasses.asdict(self),
            "expires": expires.isoformat(timespec="seconds"),
        }

    @classmethod
    def from_json(cls, stored: Any) -> Lease | None:
        """A stored lease; ``None`` for what is none, or none that this version reads."""
        if not isinstance(stored, dict) or stored.get("v") != 1:
            return None
        owner = Owner.from_json(stored.get("owner"))
        token, seconds, renewals, checkpoint = (
            stored.get(name) for name in ("token", "seconds", "renewals", "checkpoint")
        )
        if (
            owner is None
            or not isinstance(token, str)
            or not (isinstance(seconds, int | float) and 0 < seconds <= LONGEST_LEASE)
            or not isinstance(renewals, int)
            or not isinstance(checkpoint, str | None)
        ):
            return None
        return cls(owner, token, float(seconds), renewals, checkpoint)


def lease_of(trial: FrozenTrial) -> Lease | None:
    """The lease on a running trial; none where it runs without, or was given back."""
    return lease_in(trial.system_attrs)


def lease_in(system_attrs: Mapping[str, Any]) -> Lease | None:
    """The lease among a trial's system attributes."""
    return Lease.from_json(system_attrs.get(LEASE_KEY))
