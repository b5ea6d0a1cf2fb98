"""Which way to compute is the quickest on a device? `python -m benchmarks.training.devices`.

Every block is trained in each way of `WAYS`, all of them taking turns; the first epoch of a turn
warms up. A cell is a network and a size with all its ways; each is one line of the output and is
not run again. `--table` writes the table alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import append, read
from benchmarks.training.common import begin, options
from benchmarks.training.steps import NETWORKS, one_of_each
from optuna_layerwise import ModelSpec, Policy, Recipe, load_data
from optuna_layerwise.cost import training_flops
from optuna_layerwise.data import Splits
from optuna_layerwise.training import Compute, EpochResult, Trainer

WAYS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32", "channels_last": False},
    "fp32, channels last": {"precision": "fp32", "channels_last": True},
    "fp32, compiled": {"precision": "fp32", "channels_last": False, "compile": True},
    "bf16": {"precision": "bf16", "channels_last": False},
    "bf16, channels last": {"precision": "bf16", "channels_last": True},
    "bf16, channels last, compiled": {
        "precision": "bf16",
        "channels_last": True,
        "compile": True,
    },
    "fp16, channels last": {"precision": "fp16", "channels_last": True},
}
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40": 181.0, "L4": 121.0, "T4": 65.0}
"""Dense half precision, from the vendor's data sheets, by a part of the device's name."""

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    origin = begin(args)
    done = {(cell["network"], cell["image_size"]) for cell in read(args.output)}
    for network in args.networks if not args.table else ():
        for size in args.image_sizes:
            if (network, size) not in done:
                spec = ModelSpec(**NETWORKS[network], weights=None, image_size=size)
                data = repeated(args.data, size, args.images)
                cell = measure(spec, data, args)
                append(args.output, {"network": network, **cell, "provenance": origin})
                say("\n".join(_rows(read(args.output)[-1])))
    args.output.with_suffix(".md").write_text(table(read(args.output)))


def repeated(folder: Path, size: int, n: int) -> Splits:
    """A data set whose training images are repeated until there are ``n``."""
    data = load_data(folder, image_size=size)
    rows = np.arange(n) % len(data.train)
    return dataclasses.replace(data, train=data.train.subset(rows))


def measure(spec: ModelSpec, data: Splits, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of an epoch in each way, and what else is known of it."""
    recipe = Recipe(epochs=2, patience=None, batch_size=args.batch_size)
    few = dataclasses.replace(data, val=one_of_each(data.val))
    trainers = {
        way: Trainer(spec, few, recipe, device=args.device, compute=Compute(**WAYS[way]))
        for way in args.ways
    }
    seconds: dict[str, list[float]] = {way: [] for way in args.ways}
    first: dict[str, float] = {}
    memory: dict[str, int | None] = {}
    for _ in range(args.repetitions):
        for way, trainer in trainers.items():
            ends: list[float] = []

            def note(epoch: EpochResult, ends: list[float] = ends) -> None:
                cpu = trainer.device.type == "cpu"  # noqa: B023 - called within this turn
                ends.append(time.process_time() if cpu else time.perf_counter())

            begin = time.perf_counter()
            policy = Policy.uniform(trainer.blocks)
            fit = trainer.train(policy, few.train, few.val, 0, on_epoch=note)
            first.setdefault(way, time.perf_counter() - begin)
            seconds[way].append(ends[1] - ends[0])
            memory[way] = fit.cost.peak_memory_bytes
    trainer = trainers[args.ways[0]]
    return {
        "image_size": spec.image_size,
        "batch_size": args.batch_size,
        "images": len(few.train),
        "flops_per_image": training_flops(trainer.flops, Policy.uniform(trainer.blocks)),
        "epoch_seconds": seconds,
        "first_seconds": first,
        "memory_bytes": memory,
    }


def table(cells: list[dict[str, Any]]) -> str:
    """A row a network and way."""
    device = cells[0]["provenance"]["device"] if cells else "-"
    lines = [
        f"# Ways to compute on {device}",
        "",
        "Training every block; medians of turns, with the range; CPU seconds on a CPU.",
        "",
        "| network, px, batch | computed as | images/s | over fp32 | TFLOP/s | share of the "
        "half-precision peak | memory, GB | first training, s |",
        "|---|---|---|---|---|---|---|---|",
        *(row for cell in cells for row in _rows(cell)),
    ]
    origin = json.dumps(cells[0]["provenance"]) if cells else "nothing was run"
    return "\n".join([*lines, "", f"Provenance of the first cell: `{origin}`", ""])


def _rows(cell: dict[str, Any]) -> list[str]:
    peak = next((p for n, p in PEAK_TFLOPS.items() if n in cell["provenance"]["device"]), None)
    plain = next(iter(cell["epoch_seconds"].values()))
    rows = []
    for way, seconds in cell["epoch_seconds"].items():
        rates = sorted(cell["images"] / s for s in seconds)
        rate = statistics.median(rates)
        quicker = statistics.median(a / b for a, b in zip(plain, seconds, strict=True))
        tera, memory = rate * cell["flops_per_image"] / 1e12, cell["memory_bytes"][way]
        rows.append(
            f"| {cell['network']}, {cell['image_size']}, {cell['batch_size']} | {way} | "
            f"{rate:.0f} ({rates[0]:.0f} to {rates[-1]:.0f}) | {quicker:.2f} | {tera:.3g} | "
            f"{f'{tera / peak:.1%}' if peak else '-'} | "
            f"{f'{memory / 1e9:.2f}' if memory else '-'} | {cell['first_seconds'][way]:.0f} |"
        )
    return rows


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = options(__doc__, data="dtd10", output="devices.jsonl")
    add = parser.add_argument
    add("--networks", nargs="+", default=["mobilenet", "resnet18"], help=", ".join(NETWORKS))
    add("--image-sizes", nargs="+", type=int, default=[64], help="pixels")
    add("--batch-size", type=int, default=32, help="images")
    add("--images", type=int, default=128, help="to train on; repeated where there are fewer")
    add("--ways", nargs="+", default=list(WAYS), help="; ".join(WAYS))
    add("--repetitions", type=int, default=5, help="turns")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
