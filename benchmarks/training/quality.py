"""Time to quality: how much work until our search is as good as the published procedure?

Published (BioTune): 140 configurations, each trained with 3 seeds on half the data, the top 5
trained again with 3 seeds on all of it. Ours: one seed a trial, all training images, known
recipes first. MobileNetV2 0.35 at 64 px, at most 6 epochs, the same split of a data set for both.
Prefixes of one search of ours are finalized each on its own, which gives quality against work.

A cell is a data set, a method and a seed of the search; it is one JSON file of the output folder
and is not run again. One that was interrupted continues from its database.
`python -m benchmarks.training.quality` runs what is missing, `--time` measures what a unit of
either method's work takes, and `--table` writes the table.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial

from benchmarks.records import processor, provenance
from benchmarks.training.quality_table import read, table
from optuna_layerwise import BioTuneSampler, FinetuneObjective, ModelSpec, Recipe, load_data
from optuna_layerwise.data import Images
from optuna_layerwise.encodings import N_RECIPES, Encoding, Head
from optuna_layerwise.experiments.presets import BIOTUNE_RECIPE, PAPER_SEEDS
from optuna_layerwise.objective.finalists import n_finalists
from optuna_layerwise.objective.finetune import make_folds
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.final import PUBLISHED_ENDING
from optuna_layerwise.records.run import RUN_KEY, utc_now
from optuna_layerwise.studies import open_study, work
from optuna_layerwise.training import Fit

TRAININGS_KEY = "trainings"
"""Trial user attribute: what each training of a trial cost."""
REPEATS = 5
"""Timed trainings of each method."""

say = partial(print, flush=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """How to search and to finalize.

    Args:
        recipe: But for its epochs.
        n_folds: Of the objective, as the next three.
        tie_break: Whether equal values are told apart.
        reuse: Whether a training that was done before is taken over.
        head: ``always`` trained, or ``search``.
        sampler: From the encoding and the seed of the search.
        seeds: Of a trial's trainings; from the seed of the search.
        final_seeds: Of a finalist's trainings.
        budgets: Numbers of trials, and of finalists that are chosen from so many.
        race: Drop finalists that are clearly behind.
        references: Train the package's baselines as well, with the method's recipe.
    """

    recipe: Recipe
    n_folds: int
    tie_break: bool
    reuse: bool
    head: Head
    sampler: Callable[[Encoding, int], optuna.samplers.BaseSampler]
    seeds: Callable[[int], Sequence[int]]
    final_seeds: Callable[[int], Sequence[int]]
    budgets: Sequence[tuple[int, int]]
    race: bool
    references: bool


METHODS = {
    "procedure": Method(
        recipe=BIOTUNE_RECIPE,
        n_folds=2,
        tie_break=False,
        reuse=False,
        head="search",
        sampler=lambda encoding, seed: BioTuneSampler(
            seed=seed, encoding=encoding, preset="paper"
        ),
        seeds=lambda seed: PAPER_SEEDS,
        final_seeds=lambda seed: PAPER_SEEDS,
        budgets=[(140, 5)],
        race=False,
        references=True,
    ),
    "ours": Method(
        recipe=Recipe(metric="balanced_accuracy"),
        n_folds=1,
        tie_break=True,
        reuse=True,
        head="always",
        sampler=lambda encoding, seed: BioTuneSampler(
            seed=seed, encoding=encoding, seed_with=encoding.recipes()[:N_RECIPES]
        ),
        seeds=lambda seed: [100 * seed],
        final_seeds=lambda seed: [100 * seed + k for k in (1, 2, 3)],
        budgets=[(n, n_finalists(n)) for n in (1, 4, 8, 16)],
        race=True,
        references=False,
    ),
}


class Measured(FinetuneObjective):
    """An objective that keeps what each training cost, and trains nothing twice.

    The same policy from the same weights with the same seed gives the same bits, so that what a
    longer prefix of a search shares with a shorter one is taken from it, with its cost.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.trainings: list[dict[str, Any]] = []
        self._known: dict[tuple[object, ...], tuple[Fit, dict[str, Any], Any]] = {}
        self._train = self.trainer.train
        self.trainer.train = self.train  # type: ignore[method-assign]

    def train(
        self,
        policy: Policy,
        train: Images,
        val: Images,
        seed: int,
        *,
        model: torch.nn.Module | None = None,
        **more: Any,
    ) -> Fit:
        """As the trainer's own; only a training whose model the caller wants is kept."""
        if model is None:
            return self._measure(policy, train, val, seed, **more)[0]
        start = sum(float(tensor.double().sum()) for tensor in model.state_dict().values())
        key = (policy, seed, start)
        if key not in self._known:
            measured = self._measure(policy, train, val, seed, model=model, **more)
            self._known[key] = *measured, copy.deepcopy(model.state_dict())
        else:
            self.trainings.append(self._known[key][1])
            model.load_state_dict(self._known[key][2])
        return self._known[key][0]

    def _measure(
        self, policy: Policy, train: Images, val: Images, seed: int, **more: Any
    ) -> tuple[Fit, dict[str, Any]]:
        clock = time.process_time()
        fit = self._train(policy, train, val, seed, **more)
        training = {
            "policy": [policy[block] for block in self.blocks],
            "seed": seed,
            "images": fit.cost.images_seen,
            "epochs": len(fit.history),
            "validation_images": 0 if val is None else len(fit.history) * len(val),
            "flops": fit.cost.flops,
            "seconds": round(fit.cost.seconds, 4),
            "cpu_seconds": round(time.process_time() - clock, 4),
        }
        self.trainings.append(training)
        return fit, training


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    origin = provenance(device=processor(), threads=1, commit=args.commit)
    for method, seed, path in itertools.product(args.methods, args.seeds, args.data):
        output = args.output / f"{path.name}-{method}-{seed}.json"
        if not (args.time or args.table or output.exists()):
            save(output, {**run(args, path, method, seed, origin), "provenance": origin})
    for path in args.data if args.time else []:
        save(
            args.output / f"{path.name}-timing-0.json", {**timed(args, path), "provenance": origin}
        )
    if args.table:
        output = args.output.with_suffix(".md")
        output.write_text(table(read(args.output)))
        say(f"wrote {output}")


def run(
    args: argparse.Namespace, path: Path, method: str, seed: int, origin: Mapping[str, Any]
) -> dict[str, Any]:
    """One search, and a final choice for each budget."""
    chosen, started = METHODS[method], utc_now()
    objective = objective_of(args, path, method, seed)
    cell = f"{path.name}-{method}-{seed}"
    budgets = [tuple(map(int, pair.split(":"))) for pair in args.budgets] or chosen.budgets
    args.studies.mkdir(parents=True, exist_ok=True)
    study = open_study(
        f"sqlite:///{args.studies / cell}-{str(origin['commit'])[:12]}.db",
        study_name=cell,
        sampler=chosen.sampler(objective.encoding, seed),
    )

    def value(trial: optuna.Trial) -> float:
        objective.trainings.clear()
        value = objective(trial)
        trial.set_user_attr(TRAININGS_KEY, [*objective.trainings])
        return value

    def tell(study: optuna.Study, trial: FrozenTrial) -> None:
        seconds = sum(t["cpu_seconds"] for t in trial.user_attrs.get(TRAININGS_KEY, []))
        say(f"{cell}: trial {trial.number}: {trial.value}, {seconds:.1f} CPU s")

    if not work(study, value, n_finished=max(n for n, _ in budgets), on_trial=tell):
        raise SystemExit(f"{cell} is interrupted; start it again to continue")
    trials = study.get_trials(deepcopy=False)
    finals = []
    for n, top in budgets:
        say(f"{cell}: {top} finalists of {n} trials")
        prefix = optuna.create_study(direction=study.directions[0])
        prefix.add_trials(trials[:n])
        objective.trainings.clear()
        seeds = chosen.final_seeds(seed)
        references = ("full", "probe", "scratch") if chosen.references else ()
        final = objective.finalize(
            prefix,
            top=top,
            seeds=seeds,
            race=chosen.race,
            references=references,
            ending=PUBLISHED_ENDING,
        )
        of_finalists = len(objective.trainings) - len(final.baselines) * len(seeds)
        finals.append(
            {
                "trials": n,
                "top": top,
                "seeds": list(seeds),
                "trainings": objective.trainings[:of_finalists],
                **dataclasses.asdict(final),
            }
        )
    return {
        **described(args, objective, path, method, seed),
        "trials": [
            {
                "value": trial.value,
                "fold": trial.user_attrs[RUN_KEY]["fold"],
                "outcome": trial.user_attrs[RUN_KEY]["outcome"],
                "policy": list(trial.user_attrs[RUN_KEY]["policy"].values()),
                "trainings": trial.user_attrs.get(TRAININGS_KEY, []),
            }
            for trial in trials
        ],
        "finals": finals,
        "started": started,
        "finished": utc_now(),
    }


def timed(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Trainings of policies that each method searched with its first seed, by turns."""
    objectives = {method: objective_of(args, path, method, 0) for method in METHODS}
    for turn in range(1 + REPEATS):
        for method, objective in objectives.items():
            cell = json.loads((args.output / f"{path.name}-{method}-0.json").read_text())
            policies = [t["policy"] for t in cell["trials"] if t["trainings"]]
            policy = policies[turn * (len(policies) - 1) // REPEATS]
            train, val = make_folds(objective.data, METHODS[method].n_folds)[0]
            named = dict(zip(objective.blocks, policy, strict=True))
            objective.trainer.train(Policy(named), train, val, objective.seeds[0])
            say(f"{path.name}: {method}: {objective.trainings[-1]}")
    return {
        **described(args, objectives["ours"], path, "timing", 0),
        "runs": {m: o.trainings[1:] for m, o in objectives.items()},  # the first warms up
    }


def objective_of(args: argparse.Namespace, path: Path, method: str, seed: int) -> Measured:
    """What the method trains with."""
    spec = ModelSpec(
        name="mobilenet_v2",
        args={"width_mult": 0.35},
        weights=args.weights,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        image_size=args.image_size,
    )
    chosen = METHODS[method]
    return Measured(
        model=spec,
        data=load_data(path, image_size=args.image_size, split_seed=args.split_seed),
        head=chosen.head,
        recipe=dataclasses.replace(chosen.recipe, epochs=args.epochs),
        seeds=chosen.seeds(seed),
        n_folds=chosen.n_folds,
        tie_break=chosen.tie_break,
        reuse=chosen.reuse,
        device="cpu",
    )


def described(
    args: argparse.Namespace, objective: Measured, path: Path, method: str, seed: int
) -> dict[str, Any]:
    """What a cell is of."""
    spec, data = objective.spec, objective.data
    return {
        "data": path.name,
        "method": method,
        "seed": seed,
        "blocks": list(objective.blocks),
        "flops": objective.trainer.flops,
        "recipe": objective.recipe.as_dict(),
        "settings": {
            "model": {**dataclasses.asdict(spec), "weights": spec.weights_hash},
            "split_seed": args.split_seed,
            "epochs": args.epochs,
        },
        "data_fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "images": [len(data.train), len(data.val), len(data.test)],
    }


def save(path: Path, cell: dict[str, Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(json.dumps(cell, allow_nan=False) + "\n")
    os.replace(unfinished, path)
    say(f"wrote {path}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = partial(parser.add_argument, metavar="X")
    shared = Path("../shared/data")
    sets = [shared / name for name in ("busi", "citrus", "rsmas")]
    add("--data", nargs="+", default=sets, type=Path, help="folders of class folders")
    add("--weights", default=shared / "weights/mobilenet_v2_w035_imagenet_notop.pth", type=Path)
    add("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    add("--seeds", nargs="+", type=int, default=[0], help="of searches")
    add("--split-seed", type=int, default=0)
    add("--budgets", nargs="*", default=[], help="TRIALS:FINALISTS in place of the method's own")
    add("--epochs", type=int, default=6, help="at most, of every training")
    add("--image-size", type=int, default=64, help="pixels")
    add("--output", type=Path, default=Path("benchmarks/training/results/quality"))
    add("--studies", type=Path, default=Path("optuna-layerwise-runs/quality"), help="scratch")
    add("--commit", help="of this code, where it is a copy without its git repository")
    parser.add_argument(
        "--time",
        action="store_true",
        help="run no search, but time trainings of both methods by turns",
    )
    parser.add_argument("--table", action="store_true", help="run no search, but write the table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
