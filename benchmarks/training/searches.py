"""A whole search, ours against a user's scripts: `python -m benchmarks.training.searches`.

Ours is `FinetuneObjective`; the others are `naive.py` and `careful.py` beside this file. A cell is
a data set and a search: BioTune on its own encoding, or REVO-Tune's bits with CatCMAwM as the
command line starts it. Our objective runs the search to its end, untimed. Then the contestants
train the same trials, every third of that search so that early and late ones are among them:
each in a study of its own with the same sampler, the parameters enqueued, one trial after the
other by all three before the next, their order rotating. The parts of the split are folders, which
all read for themselves; imports are not timed, and everything from the folder of images and the
file of weights on is.

A cell is a file of the output folder. One that is finished is not run again, and the search of
one that was interrupted continues from its database. `--table` writes the table alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from benchmarks.records import processor, provenance
from benchmarks.training import careful, naive
from benchmarks.training.searches_table import OURS, table
from benchmarks.training.searches_work import Work
from optuna_layerwise import (
    BioTuneSampler,
    CatCMAwMSampler,
    Encoding,
    FinetuneObjective,
    ModelSpec,
    Recipe,
    load_data,
    open_study,
)
from optuna_layerwise.data import raw
from optuna_layerwise.data.folder import read_folder
from optuna_layerwise.models import Granularity
from optuna_layerwise.records.run import utc_now
from optuna_layerwise.training import resolve_device

SEARCHES: dict[str, tuple[str, Granularity]] = {
    "biotune": ("biotune", "stage"),
    "revo": ("binary", "stage"),
    "revo-layers": ("binary", "layer"),
}
"""Encoding and granularity."""
STEPS = ["search", "compare", "table"]
SIZES = {"train": 0.6, "val": 0.2, "test": 0.2}

Objective = Callable[[optuna.Trial], float]
say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    if args.steps != ["table"]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        torch.set_num_threads(args.threads)
        device = resolve_device(args.device)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
        origin = provenance(device=name, threads=args.threads, commit=args.commit)
        for data in args.data:
            for search in args.searches:
                run_cell(args, data, search, device, origin)
    if "table" in args.steps:
        cells = [json.loads(path.read_text()) for path in sorted(args.output.glob("*.json"))]
        report = args.output.with_suffix(".md")
        report.write_text(table(cells))
        say(f"wrote {report}")


def run_cell(
    args: argparse.Namespace,
    data: Path,
    search: str,
    device: torch.device,
    origin: Mapping[str, Any],
) -> None:
    """Search, compare and write the file, unless it exists."""
    workers = args.workers
    if workers is None:
        workers = 0 if device.type == "cpu" else 4
    settings = {
        "data": data.name,
        "search": search,
        "image_size": args.image_size,
        "epochs": args.epochs,
        "trials": args.trials,
        "every": args.every,
        "workers": workers,
        "device": device.type,
    }
    cell = f"{data.name}-{search}-{args.image_size}px-{device.type}"
    path = args.output / f"{cell}.json"
    if path.exists():
        if json.loads(path.read_text())["settings"] != settings:
            raise SystemExit(f"{path} has other settings; choose another --output")
        say(f"{cell}: done")
        return
    folder = split_folder(data, args.scratch / data.name)
    makers = contestants(folder, args.weights, settings, args.device)
    trials = whole_search(makers[OURS], search, args.scratch / f"{cell}.db", args.trials)
    if "compare" not in args.steps:
        return
    started, clock = utc_now(), time.perf_counter()
    result = compare(makers, search, trials[:: args.every])
    record = {
        **{"settings": settings, **result, "started": started},
        "seconds": round(time.perf_counter() - clock, 3),
        "provenance": dict(origin),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    os.replace(part, path)
    say(f"{cell}: done in {record['seconds']:.0f} s")


def split_folder(data: Path, folder: Path) -> Path:
    """A folder with train, val and test that link to the images of a pool of class folders."""
    parts, _ = raw.cut(read_folder(data), val=SIZES["val"], test=SIZES["test"], seed=0)
    for part, images in parts.items():
        for item, name in zip(images.items, images.names, strict=True):
            link = folder / part / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(Path(str(item)).resolve())
            link.read_bytes()  # into the operating system's cache: nobody waits for the disk
    return folder


def contestants(
    folder: Path, weights: Path, settings: Mapping[str, Any], device: str
) -> dict[str, Callable[[], Any]]:
    """Name to what makes its objective."""
    encoding, granularity = SEARCHES[settings["search"]]
    size, epochs = settings["image_size"], settings["epochs"]
    same = {"encoding": encoding, "granularity": granularity, "image_size": size}
    same |= {"epochs": epochs, "device": device}

    def ours() -> FinetuneObjective:
        return FinetuneObjective(
            model=ModelSpec(
                name="mobilenet_v2",
                args={"width_mult": 0.35},
                weights=weights,
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
                image_size=size,
                granularity=granularity,
            ),
            data=load_data(folder, image_size=size, resize=round(size * 232 / 224)),
            encoding=encoding,
            recipe=Recipe(epochs=epochs, patience=None),
            device=device,
        )

    return {
        OURS: ours,
        "careful": partial(careful.Objective, folder, weights, **same),
        "naive": partial(naive.Objective, folder, weights, workers=settings["workers"], **same),
    }


def sampler_of(search: str, encoding: Encoding) -> BaseSampler:
    """As the command line makes it."""
    if search == "biotune":
        return BioTuneSampler(seed=0, encoding=encoding)
    return CatCMAwMSampler(seed=0, encoding=encoding, seed_with=encoding.recipes()[:4])


def whole_search(
    make: Callable[[], Any], search: str, database: Path, n_trials: int
) -> list[FrozenTrial]:
    """The finished trials of our search, which continues where it stopped."""
    database.parent.mkdir(parents=True, exist_ok=True)
    objective = make()
    study = open_study(
        f"sqlite:///{database}",
        study_name="search",
        sampler=sampler_of(search, objective.encoding),
    )

    def finished() -> list[FrozenTrial]:
        return [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]

    missing = n_trials - len(finished())
    if missing > 0:
        say(f"{database.stem}: {missing} trials to search")
        study.optimize(objective, missing)
    return finished()[:n_trials]


def compare(
    makers: Mapping[str, Callable[[], Any]], search: str, trials: Sequence[FrozenTrial]
) -> dict[str, Any]:
    """Time what each contestant does before its first trial, and each trial."""
    warm_up(makers["careful"])
    names, studies, objectives, start = [*makers], {}, {}, {}
    for name in names:
        with Clock() as clock:
            objectives[name] = makers[name]()
            sampler = sampler_of(search, objectives[name].encoding)
            studies[name] = optuna.create_study(
                direction="maximize", sampler=sampler, pruner=optuna.pruners.NopPruner()
            )
        start[name] = clock.seconds()
    work = Work(objectives[OURS])
    records = []
    for k, trial in enumerate(trials):
        policy = objectives[OURS].encoding.decode(trial.params)
        record: dict[str, Any] = {
            "number": trial.number,
            "policy": {block: float(f"{v:.6g}") for block, v in policy.items()},
            "searched": trial.value,
        }
        for name in np.roll(names, k):
            studies[name].enqueue_trial(trial.params)
            with Clock() as clock:
                studies[name].optimize(objectives[name], n_trials=1)
            done = studies[name].get_trials(deepcopy=False)[-1]
            assert done.params == trial.params
            record[name] = {
                "value": done.value,
                **clock.seconds(),
                "gflop": round(work.of(name, policy, done) / 1e9, 3),
            }
        records.append(record)
        told = ", ".join(f"{n} {record[n]['value']} {record[n]['wall']:.2f} s" for n in names)
        say(f"{search}: trial {trial.number}: {told}")
    return {"contestants": names, "start": start, "trials": records}


def warm_up(make: Callable[[], Any]) -> None:
    """One training of everything: no contestant pays for what torch does once a process."""
    objective = make()
    recipe = objective.encoding.recipes()[0]
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(recipe)
    study.optimize(objective, n_trials=1)


class Clock:
    """Wall and processor seconds of a block of code, those of its worker processes included."""

    def __enter__(self) -> Clock:
        self._start = self._now()
        return self

    def __exit__(self, *error: object) -> None:
        self._end = self._now()

    def seconds(self) -> dict[str, float]:
        """By name."""
        pairs = zip(("wall", "cpu"), self._start, self._end, strict=True)
        return {name: round(end - start, 4) for name, start, end in pairs}

    @staticmethod
    def _now() -> tuple[float, float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = time.process_time() + children.ru_utime + children.ru_stime
        return time.perf_counter(), own


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = partial(parser.add_argument, metavar="X")
    shared = Path("../shared/data")
    add("--data", nargs="+", default=[shared / "busi", shared / "citrus"], type=Path)
    add("--weights", default=shared / "weights/mobilenet_v2_w035_imagenet_notop.pth", type=Path)
    add("--searches", nargs="+", choices=SEARCHES, default=[*SEARCHES], help=", ".join(SEARCHES))
    add("--trials", type=int, default=72, help="of the search")
    add("--every", type=int, default=3, help="the trials that all contestants train")
    add("--epochs", type=int, default=3, help="of every training")
    add("--image-size", type=int, default=64, help="pixels")
    add("--device", default="cpu", help="auto, cpu, cuda, ...")
    add("--threads", type=int, default=1, help="of torch on the CPU")
    add("--workers", type=int, help="that decode for the naive script; default on a GPU 4, else 0")
    add("--output", type=Path, default=Path("benchmarks/training/results/searches"))
    add("--scratch", type=Path, default=Path("optuna-layerwise-runs/searches"), help="databases")
    add("--commit", help="of this code, where it is a copy without its git repository")
    add("--steps", nargs="+", choices=STEPS, default=STEPS, help=", ".join(STEPS))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
