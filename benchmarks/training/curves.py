"""Searches that stop nothing early, with every curve: `python -m benchmarks.training.curves`.

The material that rules of economy are judged on afterwards (`benchmarks.training.economy`). A
BioTune search of MobileNetV2 0.35 runs on a split of BUSI or of citrus leaves, each trial to its
last epoch; its best policies are then retrained over many more seeds than a study would spend on
them, and each of these trainings is tested, so that every race over some of the seeds can be
run again and its choice be looked at. (A study never does that: it tests one finalist.)

A cell is a data set and a split; it is one line of the output and is not run again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import TrialState

from benchmarks.records import append, processor, provenance, read
from optuna_layerwise import (
    BioTuneSampler,
    FinetuneObjective,
    ModelSpec,
    Policy,
    Recipe,
    load_data,
)
from optuna_layerwise.data import Images
from optuna_layerwise.models import logits_of
from optuna_layerwise.records.run import RUN_KEY, utc_now
from optuna_layerwise.storage import generation_of
from optuna_layerwise.training.resident import reside

RECIPE = Recipe(epochs=6, patience=None)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    origin = provenance(device=processor(), threads=1)
    done = {(cell["data"], cell["split"]) for cell in read(args.output)}
    for split in args.splits:
        for data in args.data:
            if (data.name, split) in done:
                continue
            started, clock = utc_now(), time.perf_counter()
            cell = collect(data, split, args)
            seconds = round(time.perf_counter() - clock, 1)
            append(args.output, {**cell, "started": started, "seconds": seconds, **origin})
            print(f"{data.name} {split}: {seconds:.0f} s", flush=True)


def collect(folder: Path, split: int, args: argparse.Namespace) -> dict[str, Any]:
    """One search, and its best policies over ``args.seeds`` new seeds."""
    spec = ModelSpec(
        name="mobilenet_v2",
        args={"width_mult": 0.35},
        weights=args.weights,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        image_size=args.image_size,
    )
    data = load_data(folder, image_size=args.image_size, split_seed=split)
    objective = FinetuneObjective(model=spec, data=data, recipe=RECIPE, device="cpu")
    study = optuna.create_study(
        direction=objective.direction,
        sampler=BioTuneSampler(seed=split, encoding=objective.encoding),
        pruner=optuna.pruners.NopPruner(),
    )
    study.optimize(objective, args.trials)
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted(trials, key=lambda t: (-(t.value or 0.0), t.user_attrs["olw:tie"], t.number))
    policies = dict.fromkeys(Policy(t.user_attrs[RUN_KEY]["policy"]) for t in ranked)
    return {
        "data": folder.name,
        "split": split,
        "fingerprint": data.fingerprint,
        "images": [len(data.train), len(data.val), len(data.test)],
        "model": spec.digest,
        "recipe": RECIPE.to_json(),
        "trials": [
            {
                "number": t.number,
                "generation": generation_of(t),
                "policy": list(t.user_attrs[RUN_KEY]["policy"].values()),
                "curve": [round(v, 5) for v in t.intermediate_values.values()],
                "loss": round(t.user_attrs["olw:tie"], 5),
                "seconds": round(t.user_attrs["seconds"], 2),
            }
            for t in trials
        ],
        "finalists": [
            [retrain(objective, policy, seed) for seed in range(1, 1 + args.seeds)]
            for policy in list(policies)[: args.finalists]
        ],
    }


def retrain(objective: FinetuneObjective, policy: Policy, seed: int) -> dict[str, Any]:
    """One training of a finalist: its metrics, and which validation images it has right."""
    data, model = objective.data, objective.trainer.model()
    fit = objective.trainer.train(policy, data.train, data.val, seed, model=model)
    test = objective.trainer.evaluate(model, data.test.open())
    return {
        "val": {name: round(value, 5) for name, value in fit.metrics.items()},
        "test": {name: round(value, 5) for name, value in test.items()},
        "right": right(objective, model, data.val),
    }


def right(objective: FinetuneObjective, model: torch.nn.Module, images: Images) -> str:
    """A digit per image: 1 where the most probable class is the label."""
    spec = objective.spec
    there = reside(images, mean=spec.mean, std=spec.std, device=objective.device)
    model.eval()
    with torch.inference_mode():
        logits = logits_of(model(there.inputs(torch.arange(len(images)))))
    return "".join(str(int(hit)) for hit in logits.argmax(dim=1) == there.labels)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = partial(parser.add_argument, metavar="X")
    shared = Path("../shared/data")
    add("--data", nargs="+", type=Path, default=[shared / "busi", shared / "citrus"])
    add(
        "--weights",
        type=Path,
        default=shared / "weights/mobilenet_v2_w035_imagenet_notop.pth",
        help="of MobileNetV2 0.35",
    )
    add("--splits", nargs="+", type=int, default=[0, 1, 2], help="seeds of split and search")
    add("--trials", type=int, default=60)
    add("--finalists", type=int, default=5)
    add("--seeds", type=int, default=8, help="trainings of a finalist")
    add("--image-size", type=int, default=64, help="pixels")
    add("--output", type=Path, default=Path("benchmarks/results/curves.jsonl"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
