"""How much memory a search takes: `python -m benchmarks.training.memory`.

A search on BUSI as it is by default, and the same with everything on disk: a data set that is
larger than its budget is memory-mapped, and so are the outputs of frozen prefixes. Each is a
process of its own, taking turns; measured are the process's largest resident set (mapped pages
that the system has not taken back are in it), its CPU seconds in the search, and the values,
which must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import torch

from benchmarks.records import append, read
from benchmarks.training.common import WEIGHTS, begin, mobilenet, options
from optuna_layerwise import BioTuneSampler, FinetuneObjective, Recipe, load_data
from optuna_layerwise.training import Compute

WORDS = {"memory": "in memory", "disk": "on disk"}
PLACES = tuple(WORDS)

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    if args.place is not None:
        print(json.dumps(search(args)))
        return
    origin = begin(args)
    for repetition in range(len(read(args.output)) // len(PLACES), args.repetitions):
        for place in PLACES if repetition % 2 else reversed(PLACES):
            command = [sys.executable, "-m", "benchmarks.training.memory", *sys.argv[1:]]
            with tempfile.TemporaryDirectory() as cache:
                run = subprocess.run(
                    [*command, "--place", place],
                    env={**os.environ, "XDG_CACHE_HOME": cache},
                    capture_output=True,
                    check=True,
                    text=True,
                )
            record = json.loads(run.stdout)
            append(args.output, {**record, "provenance": origin})
            say(f"{place}: {record['megabytes']:.0f} MB, {record['cpu_seconds']:.1f} s")
    args.output.with_suffix(".md").write_text(table(read(args.output)))


def search(args: argparse.Namespace) -> dict[str, Any]:
    """One search, in this process."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    on_disk = args.place == "disk"
    data = load_data(
        args.data, image_size=args.image_size, **({"memory_budget": 0} if on_disk else {})
    )
    objective = FinetuneObjective(
        model=mobilenet(args.image_size, args.weights),
        data=data,
        recipe=Recipe(epochs=args.epochs, patience=None),
        device="cpu",
        compute=Compute(prefix_memory=0) if on_disk else None,
    )
    sampler = BioTuneSampler(seed=0, encoding=objective.encoding)
    study = optuna.create_study(
        direction="maximize", sampler=sampler, pruner=optuna.pruners.NopPruner()
    )
    for params in objective.encoding.recipes()[:4]:
        study.enqueue_trial(params)
    started = time.process_time()
    study.optimize(objective, n_trials=args.trials)
    return {
        "place": args.place,
        "trials": args.trials,
        "image_size": args.image_size,
        "images": [len(data.train), len(data.val)],
        "values": [trial.value for trial in study.trials],
        "prefix_bytes": objective.trainer.engine.store.used,
        "cpu_seconds": time.process_time() - started,
        "megabytes": _peak_megabytes(),
    }


def _peak_megabytes() -> float:
    """The largest resident set of this process.

    `getrusage` would not do: on Linux it counts what the process was before it ran this program,
    which is a copy of the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    [kilobytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) / 1024


def table(records: list[dict[str, Any]]) -> str:
    """Both places, and what the second costs."""
    of = {place: [r for r in records if r["place"] == place] for place in PLACES}
    lines = [
        "# Memory of a search",
        "",
        "| images and prefixes | largest resident set, MB | CPU seconds of the search | prefixes, "
        "MB in memory, on disk |",
        "|---|---|---|---|",
    ]
    for place, runs in of.items():
        peak, seconds = ([run[key] for run in runs] for key in ("megabytes", "cpu_seconds"))
        used = runs[0]["prefix_bytes"]
        lines.append(
            f"| {WORDS[place]} | {statistics.median(peak):.0f} (at most {max(peak):.0f}) | "
            f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | "
            f"{used['memory'] / 1e6:.1f}, {used['disk'] / 1e6:.1f} |"
        )
    pairs = zip(of["disk"], of["memory"], strict=True)
    ratio = statistics.median(a["cpu_seconds"] / b["cpu_seconds"] for a, b in pairs)
    same = len({json.dumps(record["values"]) for record in records}) == 1
    first = records[0]
    lines += [
        "",
        f"{first['trials']} trials, {sum(first['images'])} images of {first['image_size']} px, "
        f"{len(of['memory'])} pairs; disk over memory, median of the pairs: {ratio:.3f}; the "
        f"trials' values are {'all equal' if same else 'NOT equal'}.",
        "",
        f"Provenance of the first run: `{json.dumps(first['provenance'])}`",
        "",
    ]
    return "\n".join(lines)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = options(__doc__, data="busi", output="memory.jsonl")
    add = parser.add_argument
    add("--weights", default=WEIGHTS, type=Path, help="of MobileNetV2 0.35")
    add("--trials", type=int, default=8, help="of a search")
    add("--epochs", type=int, default=2, help="of a trial")
    add("--image-size", type=int, default=128, help="pixels")
    add("--repetitions", type=int, default=5, help="pairs of searches")
    add("--place", choices=PLACES, help="run one search here, and print what it took")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
