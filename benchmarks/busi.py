"""Do searched policies beat a linear probe and full fine-tuning tuned with the same work?

BioTune searches policies for MobileNetV2 0.35 on BUSI (breast ultrasound, 3 classes). Learning
rate and weight decay of the two baselines are tuned by TPE on the same validation split, with the
same recipe otherwise, until they have seen as many training images as the search. Then each
method retrains its best configurations over several seeds, chooses one by validation, and tests
that one. Every split of the data is a repetition of all of this.

A cell is a split and a method; each is one line of the output, and is not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial
from records import append, processor, provenance, read

from optuna_layerwise import BioTuneSampler, FinetuneObjective, ModelSpec, Recipe, load_data
from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.encodings import Gene
from optuna_layerwise.records.final import PUBLISHED_ENDING
from optuna_layerwise.records.run import RUN_KEY, utc_now
from optuna_layerwise.training import resolve_device

METHODS = ("biotune", "full tuned", "probe tuned")
"""In this order: the work of the first is the budget of the others."""
WEIGHT_DECAY = Gene(FloatDistribution(1e-6, 1e-2, log=True), (1e-4, 0.25))
SEARCH_SEED = 0  # of the trainings in a search; finalists are retrained with seeds 1, 2, ...

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(args.threads)
    device = resolve_device(args.device)
    origin = provenance(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        threads=args.threads,
        commit=args.commit,
    )
    spec = ModelSpec(
        name="mobilenet_v2",
        args={"width_mult": 0.35},
        weights=args.weights,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        image_size=args.image_size,
    )
    recipe = Recipe(epochs=args.epochs, metric="balanced_accuracy")
    seeds = range(SEARCH_SEED + 1, SEARCH_SEED + 1 + args.seeds)
    settings = {
        "data": args.data.name,
        "model": {**dataclasses.asdict(spec), "weights": spec.weights_hash},
        "recipe": recipe.as_dict(),
        "trials": args.trials,
        "finalists": args.finalists,
        "seeds": list(seeds),
    }
    settings = json.loads(json.dumps(settings))  # as it will be read
    cells = {(cell["split"], cell["method"]): cell for cell in read(args.output)}
    if any(cell["settings"] != settings for cell in cells.values()):
        raise SystemExit(f"{args.output} has results of other settings; choose another --output")

    for split in args.splits:
        missing = [method for method in METHODS if (split, method) not in cells]
        say(f"split {split}: to run: {', '.join(missing) or 'nothing, it is done'}")
        if not missing:
            continue
        data = load_data(args.data, image_size=args.image_size, split_seed=split)
        objective = partial(
            FinetuneObjective,
            model=spec,
            data=data,
            recipe=recipe,
            seeds=(SEARCH_SEED,),
            device=args.device,
        )
        for method in missing:
            name, started, clock = f"split {split} {method}", utc_now(), time.perf_counter()
            if method == "biotune":
                result = run_biotune(objective(), name, split, args.trials, args.finalists, seeds)
            else:
                images = cells[split, "biotune"]["search"]["images_seen"]
                baseline = dataclasses.replace(
                    BASELINES[method.removesuffix(" tuned")], tuned={"weight_decay": WEIGHT_DECAY}
                )
                tuning = objective(baseline=baseline)
                result = run_tuned(tuning, name, split, images, args.finalists, seeds)
            cells[split, method] = {
                "split": split,
                "method": method,
                **result,
                "settings": settings,
                "data": {
                    "fingerprint": data.fingerprint,
                    "classes": list(data.classes),
                    "images": [len(data.train), len(data.val), len(data.test)],
                },
                "started": started,
                "seconds": round(time.perf_counter() - clock, 3),
                "provenance": origin,
            }
            append(args.output, cells[split, method])
            say(f"{name}: done in {cells[split, method]['seconds']:.0f} s")


def run_biotune(
    objective: FinetuneObjective,
    name: str,
    seed: int,
    trials: int,
    finalists: int,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Search policies, then retrain finalists and, for reference, the untuned baselines."""
    clock = time.perf_counter()
    study = optuna.create_study(
        direction=objective.direction,
        sampler=BioTuneSampler(seed=seed, encoding=objective.encoding),
        pruner=optuna.pruners.NopPruner(),
    )
    study.optimize(objective, trials, callbacks=[_progress(name)])
    search = _search(study, seed, clock)
    say(f"{name}: retraining finalists and baselines")
    final = objective.finalize(
        study,
        top=finalists,
        seeds=seeds,
        race=False,
        references=("full", "probe", "scratch"),
        ending=PUBLISHED_ENDING,
    )
    return {
        "search": search,
        "finalists": [dataclasses.asdict(c) for c in final.finalists],
        "references": [dataclasses.asdict(c) for c in final.baselines],
    }


def run_tuned(
    objective: FinetuneObjective,
    name: str,
    seed: int,
    images: int,
    finalists: int,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Tune a baseline until it has seen ``images``, then retrain its finalists."""
    clock = time.perf_counter()
    study = optuna.create_study(
        direction=objective.direction,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.NopPruner(),
    )
    while images_seen(study) < images:
        study.optimize(objective, n_trials=1, callbacks=[_progress(name, images)])
    search = _search(study, seed, clock)
    say(f"{name}: retraining finalists")
    final = objective.finalize(
        study, top=finalists, seeds=seeds, race=False, references=(), ending=PUBLISHED_ENDING
    )
    return {
        "search": search,
        "finalists": [dataclasses.asdict(c) for c in final.finalists],
        "references": [],
    }


def images_seen(study: optuna.Study) -> int:
    """Training images in all trials so far."""
    return sum(t.user_attrs[RUN_KEY]["images_seen"] for t in study.get_trials(deepcopy=False))


def _search(study: optuna.Study, seed: int, clock: float) -> dict[str, Any]:
    return {
        "sampler": type(study.sampler).__name__,
        "seed": seed,
        "trials": len(study.get_trials(deepcopy=False)),
        "best_value": study.best_value,
        "images_seen": images_seen(study),
        "seconds": round(time.perf_counter() - clock, 3),
    }


def _progress(name: str, images: int | None = None) -> Callable[[optuna.Study, FrozenTrial], None]:
    """Tell of each trial."""

    def tell(study: optuna.Study, trial: FrozenTrial) -> None:
        value = "failed" if trial.value is None else f"{trial.value:.3f}"
        work = f"{images_seen(study):,}" + (f" of {images:,}" if images else "")
        say(f"{name}: trial {trial.number}: {value}, {work} images seen")

    return tell


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = partial(parser.add_argument, metavar="X")
    shared = Path("../shared/data")
    add("--data", default=shared / "busi", type=Path, help="folder of class folders")
    add(
        "--weights",
        default=shared / "weights/mobilenet_v2_w035_imagenet_notop.pth",
        help="of MobileNetV2 0.35",
        type=Path,
    )
    add("--splits", nargs="+", type=int, default=[0, 1, 2], help="seeds of splits")
    add("--trials", type=int, default=24, help="of the BioTune search")
    add("--epochs", type=int, default=4, help="at most, of every training")
    add("--image-size", type=int, default=128, help="pixels")
    add("--finalists", type=int, default=5, help="configurations that are retrained")
    add("--seeds", type=int, default=3, help="trainings of a finalist")
    add("--device", default="auto", help="auto, cpu, cuda, ...")
    add("--threads", type=int, default=1, help="of torch on the CPU")
    add("--output", type=Path, default=Path("benchmarks/results/busi.jsonl"))
    add("--commit", help="of this code, where it is a copy without its git repository")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
