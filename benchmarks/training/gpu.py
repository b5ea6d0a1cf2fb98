"""The engine on a GPU: `python -m benchmarks.training.gpu`, on any CUDA machine.

Needs this repository with its dependencies and the shared data, nothing else. It runs the
benchmarks of prefixes, steps and whole searches on the device, then its own: ResNet-50 at 224 px
on 2,000 images. First every block is trained in each way to compute: images per second, share of
the GPU's peak, memory. Then a BioTune search, shortened, and extrapolated by its operations to the
published size of 100 trials, 3 seeds and 15 epochs (191 PFLOP if everything is trained). Each
result is one line of the output, with the device's name; what is there is not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

from benchmarks.records import append, processor, provenance, read
from benchmarks.training.steps import one_of_each
from optuna_layerwise import (
    BioTuneSampler,
    FinetuneObjective,
    ModelSpec,
    Policy,
    Recipe,
    load_data,
)
from optuna_layerwise.data import Splits
from optuna_layerwise.models.flops import training_flops
from optuna_layerwise.runs import RUN_KEY
from optuna_layerwise.training import Compute, Trainer, resolve_device

WAYS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32", "channels_last": False},
    "bf16": {"precision": "bf16", "channels_last": False},
    "fp16": {"precision": "fp16", "channels_last": False},
    "bf16, channels last": {"precision": "bf16", "channels_last": True},
    "bf16, channels last, compiled": {
        "precision": "bf16",
        "channels_last": True,
        "compile": True,
    },
}
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40": 181.0, "L4": 121.0, "T4": 65.0}
"""Dense half precision, from the vendor's data sheets, by a part of the device's name."""
OTHERS = ("prefixes", "steps", "searches")
PUBLISHED = {"trials": 100, "seeds": 3, "epochs": 15}

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    device = resolve_device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    origin = provenance(device=name, threads=torch.get_num_threads(), commit=args.commit)
    for other in args.others:
        folder = args.output.with_name(f"{args.output.stem}-{other}")
        output = folder if other == "searches" else folder.with_suffix(".jsonl")
        command = [sys.executable, "-m", f"benchmarks.training.{other}", "--device", args.device]
        more = ["--commit", args.commit] if args.commit else []
        say(f"{other}: {output}")
        subprocess.run([*command, "--output", str(output), *more], check=True)
    done = {cell["name"] for cell in read(args.output)}
    data = images(args)
    for way in args.ways:
        if f"train: {way}" not in done:
            cell = throughput(args, data, Compute(**WAYS[way]))
            append(args.output, {"name": f"train: {way}", **cell, "provenance": origin})
            say(f"train: {way}: {cell['images_per_second']:.0f} images/s")
    if "search" not in done:
        cell = search(args, data)
        append(args.output, {"name": "search", **cell, "provenance": origin})
        say(f"search: {cell['published_minutes']:.1f} min at the published size")
    args.output.with_suffix(".md").write_text(table(read(args.output), args.peak_tflops))


def images(args: argparse.Namespace) -> Splits:
    """The data set, repeated until there are as many training images as are asked for."""
    data = load_data(args.data, image_size=args.image_size)
    rows = np.arange(args.images) % len(data.train)
    return dataclasses.replace(data, train=data.train.subset(rows))


def _spec(args: argparse.Namespace) -> ModelSpec:
    return ModelSpec(name=args.network, image_size=args.image_size)


def throughput(args: argparse.Namespace, data: Splits, compute: Compute) -> dict[str, Any]:
    """Training every block, without validation; the first epoch warms up."""
    recipe = Recipe(epochs=1 + args.epochs, patience=None, batch_size=args.batch_size)
    few = dataclasses.replace(data, val=one_of_each(data.val))
    trainer = Trainer(_spec(args), few, recipe, device=args.device, compute=compute)
    ends: list[float] = []
    everything = Policy.uniform(trainer.blocks)
    fit = trainer.train(
        everything,
        few.train,
        few.val,
        0,
        on_epoch=lambda epoch: ends.append(epoch.cost.seconds),
    )
    seconds = (ends[-1] - ends[0]) / args.epochs
    return {
        "images_per_second": len(few.train) / seconds,
        "flops_per_second": len(few.train) * training_flops(trainer.flops, everything) / seconds,
        "memory_bytes": fit.cost.peak_memory_bytes,
        "phases": fit.cost.phases,
        "compute": dataclasses.asdict(trainer.engine.compute),
    }


def search(args: argparse.Namespace, data: Splits) -> dict[str, Any]:
    """The first trials of a search with one seed; the published size has the same mix of them."""
    recipe = Recipe(epochs=args.epochs, patience=None, batch_size=args.batch_size)
    started = time.perf_counter()
    objective = FinetuneObjective(
        model=_spec(args), data=data, recipe=recipe, device=args.device, reuse=False
    )
    study = optuna.create_study(
        direction="maximize", sampler=BioTuneSampler(seed=0, encoding=objective.encoding)
    )
    ready = time.perf_counter()
    study.optimize(objective, n_trials=args.trials)
    runs = [trial.user_attrs[RUN_KEY] for trial in study.trials]
    seconds = time.perf_counter() - ready
    scale = 1.0
    for what, ours in (("trials", args.trials), ("seeds", 1), ("epochs", args.epochs)):
        scale *= PUBLISHED[what] / ours
    spent, of_all = (sum(run[key] for run in runs) for key in ("flops", "flops_of_all"))
    return {
        "trials": args.trials,
        "epochs": args.epochs,
        "setup_seconds": ready - started,
        "seconds": seconds,
        "pflop": spent / 1e15,
        "pflop_of_all": of_all / 1e15,
        "published_pflop_of_all": of_all * scale / 1e15,
        "published_minutes": seconds * scale / 60,
        "memory_bytes": max(run["peak_memory_bytes"] for run in runs),
        "prefix_bytes": objective.engine.store.used,
    }


def table(cells: list[dict[str, Any]], peak_tflops: float | None) -> str:
    """Throughputs, and the search."""
    device = cells[0]["provenance"]["device"]
    known = [peak for part, peak in PEAK_TFLOPS.items() if part in device]
    peak = peak_tflops or (known[0] if known else None)
    lines = [
        f"# ResNet-50 on {device}",
        "",
        "| computed as | images/s | TFLOP/s | share of the half-precision peak | memory, GB |",
        "|---|---|---|---|---|",
    ]
    for cell in (cell for cell in cells if cell["name"] != "search"):
        tera, memory = cell["flops_per_second"] / 1e12, cell["memory_bytes"]
        lines.append(
            f"| {cell['name'].removeprefix('train: ')} | {cell['images_per_second']:.0f} | "
            f"{tera:.2f} | {f'{tera / peak:.1%}' if peak else '-'} | "
            f"{f'{memory / 1e9:.2f}' if memory else '-'} |"
        )
    for cell in (cell for cell in cells if cell["name"] == "search"):
        lines += [
            "",
            f"A search of {cell['trials']} trials of {cell['epochs']} epochs took "
            f"{cell['seconds']:.0f} s and {cell['pflop']:.3g} PFLOP ({cell['pflop_of_all']:.3g} "
            "with every block trained). At the published size, by its operations: "
            f"{cell['published_minutes']:.1f} min.",
        ]
    return "\n".join([*lines, "", f"Provenance: `{json.dumps(cells[0]['provenance'])}`", ""])


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = partial(parser.add_argument, metavar="X")
    add("--data", default=Path("../shared/data/dtd10"), type=Path, help="folder of images")
    add("--network", default="resnet50", help="of torchvision; random weights")
    add("--images", type=int, default=2000, help="to train on")
    add("--image-size", type=int, default=224, help="pixels")
    add("--batch-size", type=int, default=64, help="images")
    add("--epochs", type=int, default=3, help="that are timed, and of a trial")
    add("--trials", type=int, default=20, help="of the shortened search")
    add("--ways", nargs="*", default=list(WAYS), help="; ".join(WAYS))
    add("--others", nargs="*", default=list(OTHERS), help="benchmarks to run first")
    add("--peak-tflops", type=float, help="of the device, where it is not known")
    add("--device", default="cuda", help="cuda, or cpu to try the script")
    add("--output", type=Path, default=Path("benchmarks/training/results/gpu.jsonl"))
    add("--commit", help="of this code, where it is a copy without its git repository")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
