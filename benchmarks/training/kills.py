"""What SIGKILL costs a trial, and that it changes nothing: `python -m benchmarks.training.kills`.

One trial fine-tunes all of MobileNetV2 0.35 on BUSI, with dropout and moving statistics. It is
killed 20 times at random moments and continued by a new process each time, with the default of one
checkpoint in 10 seconds; its weights are compared with those of the same trial left alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from ctypes import c_long
from pathlib import Path
from typing import Any

import optuna
import torch
from safetensors.torch import load_file

from benchmarks.records import ROOT, processor, provenance
from optuna_layerwise import FinetuneObjective, ModelSpec, Recipe, load_data, open_study
from optuna_layerwise.objective.trial_files import TrialFiles
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.studies import work
from optuna_layerwise.training import EpochResult, Fit

SHARED = ROOT.parent / "shared" / "data"
OUTPUT = Path(__file__).parent / "results" / "kills.json"


class Watched(FinetuneObjective):
    """Counts the epochs that a process finds done, and the steps that it makes itself."""

    def watch(self, found: Any, made: Any) -> None:
        """Count in two values that other processes see."""
        self.found, self.made = found, made
        self._train = self.trainer.train
        self.trainer.train = self.train  # type: ignore[method-assign]

    def train(self, *arguments: Any, **options: Any) -> Fit:
        """As it is, with every step and every restored epoch counted."""
        should_stop, on_epoch = options.pop("should_stop"), options.pop("on_epoch")

        def count_step() -> bool:
            self.made.value += 1
            return bool(should_stop())

        def count_epoch(result: EpochResult) -> None:
            self.found.value += self.made.value == 0
            on_epoch(result)

        return self._train(*arguments, should_stop=count_step, on_epoch=count_epoch, **options)


def train(folder: Path, epochs: int, every: float, found: Any, made: Any) -> None:
    """Begin or continue the trial."""
    torch.set_num_threads(1)
    weights = SHARED / "weights" / "mobilenet_v2_w035_imagenet_notop.pth"
    spec = ModelSpec(
        name="mobilenet_v2",
        args={"width_mult": 0.35},
        weights=weights,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        image_size=64,
    )
    objective = Watched(
        model=spec,
        data=load_data(SHARED / "busi", image_size=64),
        recipe=Recipe(epochs=epochs, patience=None),
        device="cpu",
        checkpoints=folder,
        checkpoint_seconds=every,
        keep_weights=1,
    )
    objective.watch(found, made)
    study = the_study(folder)
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(objective.encoding.encode(Policy.uniform(objective.blocks)))
    work(study, objective, n_finished=1)


def the_study(folder: Path) -> optuna.Study:
    """Of one trial."""
    return open_study(f"sqlite:///{folder}/study.db", study_name="kills", direction="maximize")


def life(
    folder: Path, epochs: int, every: float, until: Callable[[], float] | None = None
) -> dict[str, float]:
    """One process; killed ``until()`` seconds after its first step, if that is given."""
    context = multiprocessing.get_context("spawn")
    found, made = (context.Value(c_long, 0, lock=False) for _ in range(2))
    process = context.Process(target=train, args=(folder, epochs, every, found, made))
    process.start()
    while process.is_alive() and not made.value:
        time.sleep(0.01)
    started = time.perf_counter()
    process.join(None if until is None else until())
    seconds = time.perf_counter() - started
    if until is not None:
        if not process.is_alive():
            raise RuntimeError("the trial ended before it was killed; take more epochs")
        process.kill()
        process.join()
    elif process.exitcode != 0:
        raise RuntimeError(f"the process ended with status {process.exitcode}")
    return {"epochs_found": found.value, "steps": made.value, "seconds": round(seconds, 2)}


def result(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], list[float]]:
    """Weights, run and curve of the finished trial."""
    study = the_study(folder)
    [trial] = study.get_trials()
    weights = load_file(TrialFiles(folder).weights(study, 0))
    return weights, trial.user_attrs[RUN_KEY], list(trial.intermediate_values.values())


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    moments, origin = random.Random(args.seed), provenance(device=processor(), threads=1)
    with tempfile.TemporaryDirectory() as temporary:
        whole, pieces = Path(temporary) / "whole", Path(temporary) / "pieces"
        for folder in (whole, pieces):
            folder.mkdir()
        alone = life(whole, args.epochs, args.every)
        print(f"left alone: {alone}", flush=True)
        lives = []
        for number in range(args.kills):
            lives.append(
                life(pieces, args.epochs, args.every, lambda: moments.uniform(0, args.longest))
            )
            print(f"kill {number}: {lives[-1]}", flush=True)
        lives.append(life(pieces, args.epochs, args.every))
        (weights, run, curve), (ours, our_run, our_curve) = result(whole), result(pieces)
    steps_per_epoch = alone["steps"] / args.epochs
    kills = [
        {
            **one,
            "epochs_lost": round(
                one["epochs_found"] + one["steps"] / steps_per_epoch - after["epochs_found"], 2
            ),
        }
        for one, after in zip(lives, lives[1:], strict=False)
    ]
    lost = [kill["epochs_lost"] for kill in kills]
    record = {
        **origin,
        "data": "busi, 64 px",
        "network": "mobilenet_v2, width 0.35, all blocks trained",
        "epochs": args.epochs,
        "checkpoint_seconds": args.every,
        "seed": args.seed,
        "seconds_uninterrupted": alone["seconds"],
        "seconds_per_epoch": round(alone["seconds"] / args.epochs, 3),
        "equal_weights": all(torch.equal(ours[n], t) for n, t in weights.items()),
        "equal_curves": curve == our_curve,
        "equal_images_seen": run["images_seen"] == our_run["images_seen"],
        "epochs_lost_median": sorted(lost)[len(lost) // 2],
        "epochs_lost_most": max(lost),
        "kills": kills,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record, indent=1) + "\n")
    print({name: value for name, value in record.items() if name != "kills"})


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=70)
    parser.add_argument("--every", type=float, default=10.0, help="checkpoint_seconds")
    parser.add_argument("--longest", type=float, default=25.0, help="seconds of a life, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
