"""The engine on a GPU: `python -m benchmarks.training.gpu`, on any CUDA machine.

Needs this repository with its dependencies and the shared data, nothing else. It runs the
benchmarks of prefixes, steps, devices and whole searches on the device: bits, step times, images
per second, share of the GPU's peak, memory. Then its own, ResNet-50 at 224 px on 2,000 images: a
BioTune search, shortened, and extrapolated by its operations to the published size of 100 trials,
3 seeds and 15 epochs (191 PFLOP if everything is trained). Results are JSON lines with the
device's name; what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import optuna

from benchmarks.records import append, read
from benchmarks.training.common import begin, options
from benchmarks.training.devices import repeated
from optuna_layerwise import BioTuneSampler, FinetuneObjective, ModelSpec, Recipe
from optuna_layerwise.records.run import RUN_KEY

OTHERS = {
    "prefixes": (),
    "steps": ("--batch-sizes", "64", "64", "64"),
    "devices": (
        *("--networks", "resnet50", "--image-sizes", "224"),
        *("--images", "2000", "--batch-size", "64"),
    ),
    "searches": (),
}
"""Benchmark to what it is given on a GPU."""
PUBLISHED = {"trials": 100, "seeds": 3, "epochs": 15}

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    origin = begin(args)
    for other in args.others:
        place = args.output.with_name(f"{args.output.stem}-{other}")
        output = place if other == "searches" else place.with_suffix(".jsonl")
        command = [sys.executable, "-m", f"benchmarks.training.{other}", *OTHERS[other]]
        command += ["--device", args.device, "--output", str(output)]
        command += ["--commit", args.commit] if args.commit else []
        say(" ".join(command[1:]))
        subprocess.run(command, check=True)
    if not read(args.output):
        append(args.output, {**search(args), "provenance": origin})
    args.output.with_suffix(".md").write_text(text := summary(read(args.output)[0]))
    say(text)


def search(args: argparse.Namespace) -> dict[str, Any]:
    """The first trials of a search with one seed; the published size has the same mix of them."""
    data = repeated(args.data, args.image_size, args.images)
    started = time.perf_counter()
    objective = FinetuneObjective(
        model=ModelSpec(name=args.network, weights=None, image_size=args.image_size),
        data=data,
        recipe=Recipe(epochs=args.epochs, patience=None, batch_size=args.batch_size),
        device=args.device,
        reuse=False,
    )
    study = optuna.create_study(
        direction="maximize",
        sampler=BioTuneSampler(seed=0, encoding=objective.encoding),
        pruner=optuna.pruners.NopPruner(),
    )
    ready = time.perf_counter()
    study.optimize(objective, n_trials=args.trials)
    seconds = time.perf_counter() - ready
    runs = [trial.user_attrs[RUN_KEY] for trial in study.trials]
    scale = 1.0
    for what, ours in (("trials", args.trials), ("seeds", 1), ("epochs", args.epochs)):
        scale *= PUBLISHED[what] / ours
    spent, of_all = (sum(run[key] for run in runs) for key in ("flops", "flops_of_all"))
    return {
        "network": args.network,
        "trials": args.trials,
        "epochs": args.epochs,
        "setup_seconds": ready - started,
        "seconds": seconds,
        "pflop": spent / 1e15,
        "pflop_of_all": of_all / 1e15,
        "published_pflop_of_all": of_all * scale / 1e15,
        "published_minutes": seconds * scale / 60,
        "images_per_second": sum(run["images_seen"] for run in runs) / seconds,
        "memory_bytes": max(run["peak_memory_bytes"] for run in runs),
        "prefix_bytes": objective.trainer.engine.store.used,
    }


def summary(cell: dict[str, Any]) -> str:
    """The search in words."""
    return "\n".join(
        [
            f"# A search with {cell['network']} on {cell['provenance']['device']}",
            "",
            f"{cell['trials']} trials of {cell['epochs']} epochs took {cell['seconds']:.0f} s "
            f"({cell['images_per_second']:.0f} training images/s) and {cell['pflop']:.3g} PFLOP "
            f"({cell['pflop_of_all']:.3g} with every block trained), in "
            f"{cell['memory_bytes'] / 1e9:.2f} GB. At the published size, by its operations "
            f"({cell['published_pflop_of_all']:.3g} PFLOP with every block trained): "
            f"{cell['published_minutes']:.1f} min.",
            "",
            f"Provenance: `{json.dumps(cell['provenance'])}`",
            "",
        ]
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = options(__doc__, data="dtd10", output="gpu.jsonl")
    add = parser.add_argument
    add("--network", default="resnet50", help="of torchvision; random weights")
    add("--images", type=int, default=2000, help="to train on; repeated where there are fewer")
    add("--image-size", type=int, default=224, help="pixels")
    add("--batch-size", type=int, default=64, help="images")
    add("--epochs", type=int, default=3, help="of a trial")
    add("--trials", type=int, default=20, help="of the shortened search")
    add("--others", nargs="*", default=list(OTHERS), help="benchmarks to run first")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
