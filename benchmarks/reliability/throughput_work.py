"""What a worker of `throughput.py` runs, in a process that has imported little."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable
from typing import Any

import optuna
import sqlalchemy
from optuna.samplers import RandomSampler

from benchmarks.reliability.labour import loss_of
from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.studies import open_study, work

SECONDS = 600
"""For which a worker waits for the others."""
SAMPLERS: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
    "optimize, Random": RandomSampler,
    "work, Random": RandomSampler,
    "work, BioTune": lambda: BioTuneSampler(seed=0),
}


@dataclasses.dataclass
class Counted:
    """What one worker asked its database for."""

    statements: int = 0
    commits: int = 0
    sql_seconds: float = 0.0

    def listen(self, engine: sqlalchemy.Engine) -> None:
        """Count from now on."""
        began = [0.0]

        @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
        def before(*_: Any) -> None:
            began[0] = time.perf_counter()

        @sqlalchemy.event.listens_for(engine, "after_cursor_execute")
        def after(*_: Any) -> None:
            self.statements += 1
            self.sql_seconds += time.perf_counter() - began[0]

        @sqlalchemy.event.listens_for(engine, "commit")
        def commit(_: Any) -> None:
            self.commits += 1


def open_as(who: str, url: str) -> optuna.Study:
    """The study of a contestant, as its users would open it."""
    if who.startswith("work"):
        return open_study(url, study_name="s", sampler=SAMPLERS[who](), direction="minimize")
    return optuna.create_study(
        storage=url,
        study_name="s",
        sampler=SAMPLERS[who](),
        direction="minimize",
        load_if_exists=True,
    )


def engine_of(study: optuna.Study) -> sqlalchemy.Engine:
    """What connects a study with its database."""
    backend: Any = getattr(study._storage, "_backend", study._storage)
    engine: sqlalchemy.Engine = backend.engine
    return engine


def labour(who: str, url: str, trials: int, workers: int, ready: Any, results: Any) -> None:
    """One worker: what it did, and when."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    study, counted = open_as(who, url), Counted()
    counted.listen(engine_of(study))
    ready.wait(SECONDS)
    started, cpu = time.monotonic(), time.process_time()
    try:
        if who.startswith("work"):
            work(study, loss_of, n_finished=trials)
        else:
            study.optimize(loss_of, n_trials=trials // workers)
        error = None
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}".splitlines()[0]
    span = {"started": started, "ended": time.monotonic(), "cpu": time.process_time() - cpu}
    results.put({**dataclasses.asdict(counted), **span, "error": error})
