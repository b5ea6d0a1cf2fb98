"""Which process runs a trial, and whether it still lives."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process, told apart from a later one that gets the same number.

    Examples:
        >>> Owner.of_this_process().is_dead
        False
    """

    host: str
    pid: int
    started: str

    @classmethod
    def of_this_process(cls) -> Owner:
        """This process; right after a fork, too."""
        return _this_process()

    @classmethod
    def from_json(cls, stored: Any) -> Owner | None:
        """A stored owner; ``None`` for what is none."""
        if not isinstance(stored, dict) or set(stored) != {"host", "pid", "started"}:
            return None
        owner = cls(**stored)
        sound = isinstance(owner.host, str) and isinstance(owner.started, str)
        return owner if sound and isinstance(owner.pid, int) else None

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to be gone.

        Never true of another host's, nor of one in another container of this host, whose
        process numbers are not ours.
        """
        if self.host != platform.node():
            return False
        of_another_container = _boot_id() == self.started.partition(":")[0] and not self.is_near
        return not of_another_container and _process_start(self.pid) != self.started

    @property
    def is_near(self) -> bool:
        """Whether its process number is of our kind: this host, started once, no container."""
        here = not _numbering() or self.started.rpartition(":")[0] == _numbering()
        return here and self.host == platform.node()


@lru_cache(maxsize=1)
def _this_process() -> Owner:
    return Owner(platform.node(), os.getpid(), _process_start(os.getpid()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_this_process.cache_clear)


@lru_cache(maxsize=1)
def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


@lru_cache(maxsize=1)
def _numbering() -> str:
    """Of processes: since which start of which machine, and in which container."""
    if not _boot_id():
        return ""
    try:
        return f"{_boot_id()}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return _boot_id()


def _process_start(pid: int) -> str:
    """Start of a living process in a form that no change of the clock alters; else empty."""
    if _boot_id():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return ""
        fields = stat.rpartition(")")[2].split()  # proc(5): field 3, the state, comes first
        return "" if fields[0] in "ZX" else f"{_numbering()}:{fields[19]}"
    listing = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    return listing.stdout.strip()
