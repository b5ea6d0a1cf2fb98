"""Studies for the tests of this room: a real search, and what nobody would wish for."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from optuna_layerwise.reporting.dashboard import LiveDashboard
from optuna_layerwise.storage import RUN_KEY, open_storage

EVIL = "<script>alert(1)</script>**bold**[x](javascript:alert(2))<img src=x onerror=alert(3)>`"
"""A name that tries HTML, Markdown and a script."""


@dataclasses.dataclass(frozen=True)
class DigitsStudy:
    """A finished search."""

    study: optuna.Study
    url: str
    storage: BaseStorage
    folder: Path


def digits_search(folder: Path, *, trials: int = 16) -> DigitsStudy:
    """Search the embedded digits for a few seconds, and test the result."""
    from optuna_layerwise import BioTuneSampler, FinetuneObjective, Recipe, open_study  # torch

    url = f"sqlite:///{folder}/digits.db"
    storage = open_storage(url)
    objective = FinetuneObjective(
        model="digits_cnn", data="digits", encoding="biotune", recipe=Recipe(epochs=2)
    )
    study = open_study(
        storage,
        study_name="digits",
        sampler=BioTuneSampler(seed=0, encoding=objective.encoding),
    )
    with LiveDashboard(every=5) as live:
        study.optimize(objective, n_trials=trials, callbacks=[live])
    objective.finalize(study, top=1, seeds=[5, 6], weights=folder / "best.safetensors")
    return DigitsStudy(study, url, storage, folder)


def made_up_study(
    n_trials: int,
    n_blocks: int,
    *,
    name: str = "made up",
    block: str = "block",
    storage: BaseStorage | None = None,
    only_failures: bool = False,
) -> optuna.Study:
    """A study as `FinetuneObjective` would store it: 4 % diverged, pruned, infeasible each."""
    rng = np.random.default_rng(n_trials * 1_000 + n_blocks)
    study = optuna.create_study(study_name=name, direction="maximize", storage=storage)
    blocks = [f"{block} {i}" for i in range(n_blocks)]
    trials = [_trial(k, n_trials, blocks, rng, only_failures) for k in range(n_trials)]
    study.add_trials(trials)
    return study


def _trial(
    number: int, n: int, blocks: list[str], rng: np.random.Generator, fails: bool
) -> FrozenTrial:
    done = number / n
    rates = 10 ** rng.normal(np.linspace(-1, 0, len(blocks)), 0.5)
    frozen = rng.random(len(blocks)) < 0.4 * (1 - done)
    frozen[-1] = False
    policy = dict(zip(blocks, np.where(frozen, 0.0, rates).tolist(), strict=True))
    share = 1 - float(frozen.mean())
    value = 0.7 + 0.2 * done + float(rng.normal(0, 0.02))
    fate = 0.0 if fails else rng.random()
    complete = fate >= 0.08
    outcome = "diverged" if fate < 0.04 else "complete" if complete else "pruned"
    states = {"diverged": TrialState.FAIL, "pruned": TrialState.PRUNED}
    trial = create_trial(
        state=states.get(outcome, TrialState.COMPLETE),
        value=value if complete else None,
        params={f"lr/{name}": rate * 1e-3 + 1e-6 for name, rate in policy.items()},
        distributions={f"lr/{name}": FloatDistribution(1e-7, 10, log=True) for name in blocks},
        user_attrs={
            RUN_KEY: {
                "policy": policy,
                "outcome": outcome,
                "generation": number // 10,
                "trained_share": share,
                "images_seen": 500 * (1 + number % 3),
                "flops": 1e9 * (0.3 + share),
                "seconds": 1 + share,
            }
        },
        system_attrs={"constraints:memory": 1.0} if complete and fate < 0.12 else {},
        intermediate_values={e: value * (1 - 0.5 ** (e + 1)) for e in range(4)},
    )
    trial.datetime_start = datetime(2026, 1, 1) + timedelta(seconds=2 * number)
    trial.datetime_complete = trial.datetime_start + timedelta(seconds=2)
    return trial
