"""One cell: search or tune, retrain the best by validation, test it, write it down."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage

from benchmarks.protocols import records
from benchmarks.protocols.arms import Arm
from benchmarks.protocols.experiments import DIGITS, Cell, Experiment
from benchmarks.protocols.places import Places, network, source_of
from optuna_layerwise.cost import training_flops
from optuna_layerwise.data import Splits, load_data
from optuna_layerwise.encodings import N_RECIPES
from optuna_layerwise.objective.finetune import FinetuneObjective
from optuna_layerwise.records.final import PUBLISHED_ENDING
from optuna_layerwise.records.run import readable_runs
from optuna_layerwise.samplers import SAMPLERS, STARTS_INFORMED
from optuna_layerwise.samplers.pruning import PRUNERS
from optuna_layerwise.storage import write_once
from optuna_layerwise.studies import finished, open_study, work
from optuna_layerwise.studies.claiming import claimed
from optuna_layerwise.training import Compute

CELL_KEY = "olw:cell"
"""Study user attribute: what the study of a cell is run with."""
_OF_OPTUNA: dict[str, Callable[..., BaseSampler]] = {"tpe": TPESampler, "random": RandomSampler}


def run_cell(experiment: Experiment, cell: Cell, places: Places, storage: BaseStorage) -> bool:
    """Run or continue a cell; whether it is done, and not paused by Ctrl-C or SIGTERM.

    Args:
        experiment: That it is of.
        cell: Which.
        places: Where everything is.
        storage: Opened from the URL of those.

    Raises:
        FileNotFoundError: if data or weights are missing.
        FinalizedElsewhere: if another process has the cell.
        ValueError: if its study exists with other settings.
    """
    path = cell.file(places.results)
    if path.exists():
        return True
    places.limit_threads()
    arm = experiment.arms[cell.arm]
    objective = make_objective(experiment, cell, places)
    settings = _settings(arm, objective)
    study = open_study(
        storage,
        study_name=cell.study,
        direction="maximize" if objective.direction.name == "MAXIMIZE" else "minimize",
        pruner=PRUNERS[arm.pruner](arm.recipe.epochs) if arm.prune else None,
    )
    with claimed(study):
        stored = write_once(study, CELL_KEY, settings)
        if stored != settings:
            names = [name for name in settings if stored.get(name) != settings[name]]
            raise ValueError(
                f"study {cell.study!r} was begun with another {', '.join(names)}; choose another "
                "--storage and --output"
            )
        if not search(study, objective, arm, cell.run):
            return False
    final = objective.finalize(
        study,
        top=arm.finalists,
        seeds=objective.unused_seeds(arm.final_seeds) if arm.retrain else objective.seeds,
        race=False,
        references=(),
        ending=PUBLISHED_ENDING,
    )
    data = objective.data
    about = {
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "images": [len(data.train), len(data.val), len(data.test)],
    }
    records.write(
        path, records.record(cell, settings, about, study, final, threads=places.threads)
    )
    return True


def make_objective(experiment: Experiment, cell: Cell, places: Places) -> FinetuneObjective:
    """What a trial of a cell does.

    Raises:
        FileNotFoundError: if data or weights are missing.
    """
    arm = experiment.arms[cell.arm]
    source = source_of(cell.data, places.data_root, download=places.download)
    spec = network(
        cell.network,
        root=places.data_root,
        image_size=experiment.image_size,
        granularity=arm.granularity,
        download=places.download,
    )
    what: dict[str, Any] = {"head": arm.head}
    what |= {"baseline": arm.baseline} if arm.baseline else {"encoding": arm.encoding}
    shift = cell.run if experiment.new_seeds else 0
    return FinetuneObjective(
        model=spec,
        data=_data(source, places.data_root, places.download, *_split(experiment, cell)),
        recipe=arm.recipe,
        seeds=[seed + shift for seed in arm.seeds],
        n_folds=arm.n_folds,
        tie_break=arm.tie_break,
        reuse=arm.reuse,
        device=places.device,
        compute=Compute.from_json(places.compute),
        **what,
    )


def _split(experiment: Experiment, cell: Cell) -> tuple[Any, ...]:
    own = cell.data == DIGITS  # has splits of its own
    fraction = cell.fraction
    if experiment.of_all and not own:
        fraction /= 1 - experiment.val - experiment.test
    return (
        *(experiment.image_size, experiment.resize, experiment.val, experiment.test),
        cell.run if experiment.new_split else 0,
        min(fraction, 1.0),
        experiment.paper_split and not own,
    )


@lru_cache(maxsize=2)
def _data(
    source: str | Path,
    root: Path,
    download: bool,
    image_size: int,
    resize: int | None,
    val: float,
    test: float,
    split_seed: int,
    train_fraction: float,
    paper_split: bool,
) -> Splits:
    """Decoded once for the cells of one set, which come one after the other."""
    return load_data(
        source,
        root=root if isinstance(source, str) and source != DIGITS else None,
        download=download,
        image_size=image_size,
        resize=resize,
        val=val,
        test=test,
        split_seed=split_seed,
        train_fraction=train_fraction,
        paper_split=paper_split,
    )


def _settings(arm: Arm, objective: FinetuneObjective) -> dict[str, Any]:
    """What may not change in a cell's study, as JSON gives it back."""
    model = {"model": objective.spec.digest, "data": objective.data.fingerprint}
    return {**arm.stored(), **model, "seeds": list(objective.seeds)}


def search(study: optuna.Study, objective: FinetuneObjective, arm: Arm, seed: int) -> bool:
    """Run trials until the arm's budget is spent; false if it was stopped before."""
    first = first_trials(arm, objective)
    sampler = sampler_of(arm, objective, first, seed)
    if arm.sampler not in STARTS_INFORMED and not finished(study):
        for params in first:
            study.enqueue_trial(params, skip_if_exists=True)
    budget = math.inf if arm.work is None else arm.work * full_training(objective)
    while (n := finished(study)) < arm.trials and spent(study) < budget:
        study.sampler = sampler(n)
        if not work(study, objective, n_finished=n + 1):
            return False
    return True


def first_trials(arm: Arm, objective: FinetuneObjective) -> list[dict[str, Any]]:
    """Parameters to begin with: known recipes, or a published method's defaults."""
    if not arm.seed_recipes:
        return []
    if arm.baseline is not None:
        return [objective.encoding.first]
    return objective.encoding.recipes()[:N_RECIPES]


def sampler_of(
    arm: Arm, objective: FinetuneObjective, first: list[dict[str, Any]], seed: int
) -> Callable[[int], BaseSampler]:
    """Number of finished trials to the sampler of the next one.

    Ours continue where they were. Optuna's begin anew in every process, and would repeat
    themselves: each trial has one with a seed of its own, so that an interruption changes no draw.
    """
    if arm.sampler in _OF_OPTUNA:
        kind = _OF_OPTUNA[arm.sampler]

        def seeded(number: int) -> BaseSampler:
            [word] = np.random.SeedSequence([seed, number]).generate_state(1)
            return kind(seed=int(word), **arm.sampler_options)

        return seeded
    start = {"seed_with": first} if arm.sampler in STARTS_INFORMED else {}
    one = SAMPLERS[arm.sampler](
        seed=seed, encoding=objective.encoding, **start, **arm.sampler_options
    )
    return lambda number: one


def full_training(objective: FinetuneObjective) -> float:
    """Operations of training every block for all epochs, validation included."""
    train, val = len(objective.data.train), len(objective.data.val)
    flops = objective.trainer.flops
    on_train = training_flops(flops, dict.fromkeys(flops, 1.0))
    return objective.recipe.epochs * (train * on_train + val * sum(flops.values()))


def spent(study: optuna.Study) -> float:
    """Operations of its finished trials, less what the cache of frozen prefixes has saved.

    A process begins with an empty cache, so a cell that was interrupted may spend its work in
    fewer trials.
    """
    trials = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    return sum(run.cost.flops for run in readable_runs(study, trials).values())
