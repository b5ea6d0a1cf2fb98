"""Exit codes of the commands that run trials, for scripts; documented in docs/workers.md."""

from __future__ import annotations

DONE = 0
"""The target of finished trials is reached."""
FAILED = 1
"""An error in a trial or in the program; started again, a worker goes on with the next trial."""
WRONG = 2
"""A wrong option, study, database or data: starting again cannot help."""
HALTED = 3
"""The study is paused or stopped by an order."""
INTERRUPTED = 130
"""Ctrl-C, SIGTERM or, of a worker, SIGUSR1 or SIGUSR2: the running trial was given back."""
