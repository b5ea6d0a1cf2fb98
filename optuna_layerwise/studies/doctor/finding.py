"""One thing that is wrong with a study, or worth knowing of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
"""Error: results are lost, wrong or cannot be read. Warning: something is not done as it should
be. Note: nothing is wrong."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found, and what can be done.

    Args:
        severity: See `Severity`.
        problem: One sentence without its full stop.
        remedy: What to do, in the same form; empty for a note.
        trial: Its number, where it is about one.
        repair: Does the remedy; what it returns is ``None``, or true if it did.
    """

    severity: Severity
    problem: str
    remedy: str = ""
    trial: int | None = None
    repair: Callable[[], object] | None = None

    def repaired(self) -> bool:
        """Do what can be done; returns whether that was something."""
        if self.repair is None:
            return False
        done = self.repair()
        return done is None or bool(done)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**content, "repair": self.repair is not None}

    def __str__(self) -> str:
        return f"{self.severity}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")
