"""Fill the table: every cell is trained for real, by the package's own loop.

    python -m benchmarks.layerbench.build --workers 2

One JSON line a cell in ``--output``, appended when it is finished; a run that was interrupted
goes on where it stopped, and one that begins in an empty folder goes on from the committed tables.
``benchmarks.layerbench.pack`` then writes the compressed files that are committed. On a GPU:

    python -m benchmarks.layerbench.build --device cuda --workers 8 \
        --sets busi citrus rsmas ham_bal dtd10 usps

After ``pack``, searches of the table (`python -m benchmarks.protocols layerbench`) end where its
surrogate is too hopeful; ``--found`` trains what they found, to be packed with the rest.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import multiprocessing
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.layerbench.design import (
    MODELS,
    POINTS,
    PROVENANCE,
    RATES,
    SEEDS,
    Cell,
    cells,
)
from benchmarks.records import append, processor, provenance, read
from benchmarks.training.common import SHARED
from optuna_layerwise.cost import training_flops
from optuna_layerwise.data import Images, Splits, load_data
from optuna_layerwise.layerbench.bench import TABLES
from optuna_layerwise.layerbench.measured import SUFFIX, lines_of
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.training import Compute, EpochResult, Trainer, resolve_device
from optuna_layerwise.training.engine import Engine
from optuna_layerwise.training.forward import Forward
from optuna_layerwise.training.resident import Resident

RAW = Path("layerbench-raw")
DIGITS = 5
"""Significant digits of what is stored."""


class TestedEngine(Engine):
    """Looks at the test split after every epoch: the table shows what a search cannot see."""

    def watch(self, test: Images) -> None:
        """From now on keep the metrics of this split in ``tested``, one entry an epoch."""
        self.test = self.resident(test)
        self.tested: list[dict[str, float]] = []

    def validate(self, forward: Forward, images: Resident) -> dict[str, float]:
        """As `Engine.validate`."""
        metrics = super().validate(forward, images)
        self.tested.append(super().validate(forward, self.test))
        return metrics


@dataclasses.dataclass(frozen=True)
class Task:
    """What a process needs to know to train the cells of one data set."""

    model: str
    data: str
    epochs: int
    device: str

    @property
    def recipe(self) -> Recipe:
        """The same for all cells but for the rates."""
        return Recipe(optimizer="adam", lr=1e-3, epochs=self.epochs, patience=None, batch_size=32)


@functools.lru_cache(maxsize=8)
def bench(task: Task) -> tuple[Trainer, TestedEngine, Splits]:
    """The network and the images of a task, in this process."""
    torch.set_num_threads(1)
    spec = MODELS[task.model]()
    path = SHARED / (f"{task.data}.npz" if task.data == "usps" else task.data)
    data = load_data(path, image_size=spec.image_size)
    compute = Compute(channels_last=True, precision="fp32")
    trainer = Trainer(spec, data, task.recipe, device=task.device, compute=compute)
    engine = TestedEngine(mean=spec.mean, std=spec.std, device=task.device, compute=compute)
    engine.watch(data.test.open())
    trainer.engine = engine
    return trainer, engine, data


def header(task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is the same for all cells of a file."""
    trainer, _, data = bench(task)
    n = {"train": len(data.train), "val": len(data.val), "test": len(data.test)}
    sizes = dict(trainer.model().named_parameters())
    return {
        "format": 1,
        "model": task.model,
        "set": task.data,
        "blocks": list(trainer.blocks),
        "block_flops": trainer.flops,
        "block_parameters": {
            b: sum(sizes[name].numel() for name in names) for b, names in trainer.blocks.items()
        },
        "recipe": task.recipe.as_dict(),
        "image_size": trainer.spec.image_size,
        "images": n,
        "classes": len(data.classes),
        "data": data.fingerprint,
        "weights": trainer.spec.digest,
        "provenance": dict(given),
    }


def train(job: tuple[Task, Cell]) -> tuple[Task, dict[str, Any]]:
    """One line of the table."""
    task, cell = job
    trainer, engine, data = bench(task)
    engine.tested.clear()
    started, seconds = time.process_time(), []

    def on_epoch(epoch: EpochResult) -> None:
        seconds.append(rounded(time.process_time() - started))

    lr = task.recipe.lr
    policy = Policy({b: r / lr for b, r in zip(trainer.blocks, cell.rates, strict=True)})
    result = trainer.train(policy, data.train, data.val, cell.seed, on_epoch=on_epoch)
    names = ("loss", "accuracy", "balanced_accuracy", "auc")
    work = training_flops(trainer.flops, policy) / training_flops(
        trainer.flops, Policy.uniform(trainer.blocks)
    )
    return task, {
        **dataclasses.asdict(cell),
        "train_loss": [rounded(epoch["train_loss"]) for epoch in result.history],
        "val": {name: [rounded(e[name]) for e in result.history] for name in names},
        "test": {
            name: [rounded(e[name]) for e in engine.tested[: len(result.history)]]
            for name in names
        },
        "diverged": result.diverged,
        "images": result.cost.images_seen,
        "work": rounded(work),
        "flops": rounded(result.cost.flops),
        "seconds": seconds,
    }


def rounded(value: float) -> float:
    """To `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Tells cells apart."""
    return (tuple(record["rates"]), record["seed"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=sorted(MODELS), default="mobilenet")
    parser.add_argument("--sets", nargs="+", default=["busi", "citrus", "rsmas"])
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--points", type=int, default=POINTS, help="Sobol' points of each kind")
    parser.add_argument("--found", type=Path, help="cells of contests: train what they found")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--output", type=Path, default=RAW)
    parser.add_argument("--commit", help="of this code, where it is a copy without its git")
    args = parser.parse_args()

    device = resolve_device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    given = provenance(device=name, threads=1, commit=args.commit)
    tasks = [Task(args.model, data, args.epochs, device.type) for data in args.sets]
    jobs: list[list[tuple[Task, Cell]]] = []
    for task in tasks:
        path = args.output / file_name(task)
        if not path.exists():
            unpack(TABLES / f"{path.stem}{SUFFIX}", path)
        have = read(path)
        own = header(task, given)
        headers = [line for line in have if "format" in line]
        refuse_another(own, headers)
        if headers[-1:] != [own]:  # the rows that follow are of the last one
            append(path, own)
        done = {key(line) for line in have if "format" not in line}
        n_blocks = len(bench(task)[0].blocks)
        plan = cells(n_blocks, args.rates, args.seeds, args.points)
        if args.found:
            rates = {tuple(c["found"]) for c in read(args.found) if c["set"] == task.data}
            plan = [Cell("found", r, args.seeds[0]) for r in sorted(rates)]
        jobs.append([(task, c) for c in plan if key(dataclasses.asdict(c)) not in done])
    bench.cache_clear()

    order = [job for turn in in_turns(jobs, 64) for job in turn]
    print(f"{len(order)} cells to train", flush=True)
    context = multiprocessing.get_context("spawn")
    with context.Pool(args.workers) as pool:
        for count, (task, record) in enumerate(pool.imap_unordered(train, order), 1):
            append(args.output / file_name(task), record)
            if count % 50 == 0:
                print(f"{count} of {len(order)}", flush=True)


def refuse_another(own: Mapping[str, Any], headers: Iterable[Mapping[str, Any]]) -> None:
    """Rows of one table are of one network, data set and recipe; they may be of many machines.

    Raises:
        ValueError: if a header differs in more than its provenance.
    """
    for other in headers:
        differing = [k for k in own if k not in PROVENANCE and other.get(k) != own[k]]
        if differing:
            raise ValueError(
                f"the table of {own['model']} on {own['set']} differs in {differing}; fill "
                "another one with --output"
            )


def unpack(packed: Path, raw: Path) -> None:
    """Go on from a committed table, if there is one."""
    if packed.exists():
        for line in lines_of(packed):
            record = json.loads(line)
            append(raw, {k: v for k, v in record.items() if k not in ("surrogate", "best")})


def in_turns(jobs: list[list[Any]], size: int) -> list[list[Any]]:
    """Turns of ``size`` jobs of each list, so that all tables grow together."""
    longest = max(map(len, jobs), default=0)
    return [part[i : i + size] for i in range(0, longest, size) for part in jobs]


def file_name(task: Task) -> str:
    """Of a table."""
    return f"{task.model}-{task.data}-{task.epochs}.jsonl"


if __name__ == "__main__":
    main()
