"""What a training step costs for which mask: `python -m benchmarks.training.steps`.

Against two bounds that are measured in the same run. The first is the mask's share of the
operations, times the step that trains everything. The second is the sum of the pieces that must
run, each timed alone in a loop of its own: normalising the images or reading stored features,
the frozen prefix, the forward pass behind it, the backward pass and the optimizer. And against the
loop that people write: images in memory, all gradients, only the chosen blocks in the optimizer.

Contestants take turns, so that noise hits all alike; CPU seconds of the process on a CPU, wall
seconds on a GPU. A cell is a network, a size and a mask; each is one line of the output and is not
run again. `--table` writes the table alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmarks.records import append, read
from benchmarks.training.common import begin, options
from optuna_layerwise import ModelSpec, Policy, Recipe, frozen, load_data, param_groups
from optuna_layerwise.cost import training_flops
from optuna_layerwise.data import Images, Splits
from optuna_layerwise.models.cutting import find_cut
from optuna_layerwise.training import Compute, EpochResult, Trainer

MASKS = {
    "everything": lambda blocks: blocks,
    "from the third block": lambda blocks: blocks[2:],
    "last block and head": lambda blocks: blocks[-2:],
    "head": lambda blocks: blocks[-1:],
    "stem, last block, head": lambda blocks: [blocks[0], *blocks[-2:]],
}
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {"name": "resnet18"},
    "resnet50": {"name": "resnet50"},
    "mobilenet": {"name": "mobilenet_v2", "args": {"width_mult": 0.35}},
}
OFF = {"prefix_memory": 0, "prefix_disk": 0}

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    origin = begin(args)
    compute = dict(json.loads(args.compute))
    done = {(c["network"], c["image_size"], c["mask"]) for c in read(args.output)}
    for network in args.networks if not args.table else ():
        for size, batch in zip(args.image_sizes, args.batch_sizes, strict=True):
            data = load_data(args.data, image_size=size)
            few = dataclasses.replace(
                data,
                train=data.train.subset(slice(0, args.steps * batch)),
                val=one_of_each(data.val),
            )
            for mask in args.masks:
                if (network, size, mask) in done:
                    continue
                case = Case(network, size, batch, mask, few, args.device, compute)
                times = case.run(args.repetitions)
                cell = {
                    "network": network,
                    "image_size": size,
                    "batch_size": batch,
                    "mask": mask,
                    "share_of_operations": case.share,
                    "compute": dataclasses.asdict(case.ours.engine.compute),
                    "seconds": {n: [round(t, 6) for t in ts] for n, ts in times.items()},
                    "provenance": origin,
                }
                append(args.output, cell)
                say(_row(cell))
    args.output.with_suffix(".md").write_text(table(read(args.output)))


def one_of_each(images: Images) -> Images:
    """The first image of each class: validation that takes hardly any time."""
    return images.subset(np.unique(images.labels, return_index=True)[1])


class Case:
    """One network, size and mask, and everybody who runs its steps."""

    def __init__(
        self,
        network: str,
        size: int,
        batch: int,
        mask: str,
        data: Splits,
        device: str,
        compute: Mapping[str, Any],
    ) -> None:
        spec = ModelSpec(**NETWORKS[network], weights=None, image_size=size)
        recipe = Recipe(epochs=2, patience=None, batch_size=batch)
        self.ours, self.cached = (
            Trainer(spec, data, recipe, device=device, compute=Compute(**{**compute, **more}))
            for more in (OFF, {})
        )
        blocks = list(self.ours.blocks)
        self.everything = Policy.uniform(blocks)
        self.policy = Policy.uniform(blocks, MASKS[mask](blocks))
        self.share = training_flops(self.ours.flops, self.policy) / training_flops(
            self.ours.flops, self.everything
        )
        self.images = self.ours.engine.resident(data.train)
        self.rows = torch.arange(batch)
        self.steps = len(data.train) // batch

    def run(self, repetitions: int) -> dict[str, list[float]]:
        """Seconds of a step by contestant, one for each repetition."""
        self._fit(self.cached, self.policy)  # stores
        contestants: dict[str, Callable[[], dict[str, float]]] = {
            "ours": lambda: {"ours": self._fit(self.ours, self.policy)},
            "cached": lambda: {"cached": self._fit(self.cached, self.policy)},
            "all": lambda: {"everything": self._fit(self.ours, self.everything)},
            "naive": lambda: {"naive": self._naive()},
            "pieces": self._pieces,
        }
        times: dict[str, list[float]] = {}
        for repetition in range(repetitions + 1):
            names = list(contestants)
            for name in names[repetition % len(names) :] + names[: repetition % len(names)]:
                for what, seconds in contestants[name]().items():
                    times.setdefault(what, []).append(seconds)
        return {name: seconds[1:] for name, seconds in times.items()}  # the first warms up

    def _now(self) -> float:
        if self.ours.device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize(self.ours.device)
        return time.perf_counter()

    def _fit(self, trainer: Trainer, policy: Policy) -> float:
        """A step of the second epoch, without validation."""
        ends: list[float] = []
        validated = 0.0
        validate = trainer.engine.validate

        def timed(*args: Any) -> dict[str, float]:
            nonlocal validated
            begin = self._now()
            try:
                return validate(*args)
            finally:
                validated += self._now() - begin

        def note(epoch: EpochResult) -> None:
            ends.append(self._now() - validated)

        with patch.object(trainer.engine, "validate", timed):
            trainer.train(policy, trainer.data.train, trainer.data.val, 0, on_epoch=note)
        return (ends[1] - ends[0]) / self.steps

    def _naive(self) -> float:
        model = self.ours.model().to(self.ours.device).train()
        groups = param_groups(model, self.ours.blocks, self.policy, lr=1e-3)
        optimizer = torch.optim.Adam(groups, lr=1e-3)

        def step() -> None:
            loss = cross_entropy(model(self.images.inputs(self.rows)), self._labels())
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()

        return self._alone(step)

    def _pieces(self) -> dict[str, float]:
        """The pieces, and their sums with and without stored features."""
        trainer, engine = self.ours, self.ours.engine
        model = engine.compute.prepared(trainer.model(), trainer.blocks, engine.device)
        found: dict[str, float] = {}
        inputs = self.images.inputs(self.rows)
        labels = self._labels()

        def normalise() -> None:
            self.images.inputs(self.rows)

        found["normalise"] = self._alone(normalise)
        with frozen(model, trainer.blocks, self.policy), engine.compute.autocast(engine.device):
            model.train()
            cut, _ = find_cut(model, torch.randn(3, *inputs.shape[1:]).to(inputs))
            features = inputs
            if cut is not None:
                with torch.no_grad():
                    features = cut.prefix(model, inputs)
                    found["prefix"] = self._alone(lambda: cut.prefix(model, inputs))
                stored = features.repeat(self.steps, *[1] * (features.ndim - 1))
                found["read"] = self._alone(lambda: stored[self.rows])

            def forward() -> torch.Tensor:
                outputs = model(inputs) if cut is None else cut.suffix(model, features.clone())
                return cross_entropy(outputs, labels)

            found["forward"] = self._alone(forward)
            losses = [forward() for _ in range(self.steps + 1)]
            found["backward"] = self._alone(lambda: losses.pop().backward())
            groups = param_groups(model, trainer.blocks, self.policy, lr=1e-3)
            optimizer = torch.optim.Adam(groups, lr=1e-3)
            found["optimizer"] = self._alone(optimizer.step)
        rest = found["forward"] + found["backward"] + found["optimizer"]
        prefix = found.get("prefix", 0.0)
        sums = {
            "sum of pieces": found["normalise"] + prefix + rest,
            "sum of pieces, stored": found.get("read", found["normalise"] + prefix) + rest,
        }
        return {**{f"piece: {name}": seconds for name, seconds in found.items()}, **sums}

    def _labels(self) -> torch.Tensor:
        return self.images.labels_of(self.rows)

    def _alone(self, piece: Callable[[], object]) -> float:
        piece()
        begin = self._now()
        for _ in range(self.steps):
            piece()
        return (self._now() - begin) / self.steps


def table(cells: list[dict[str, Any]]) -> str:
    """A row a cell; ratios are medians over the repetitions."""
    head = (
        "network, px, batch | trained | operations | step, ms | over the operations' share | "
        "over its pieces | over the naive loop | stored: step, ms | over its pieces | "
        "everything over it"
    )
    lines = [
        "# A training step by mask",
        "",
        "Step and step with stored prefixes; ratios are medians of interleaved pairs, below 1 is "
        "quicker.",
        "",
        f"| {head} |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *map(_row, cells),
    ]
    origin = json.dumps(cells[0]["provenance"]) if cells else "nothing was run"
    return "\n".join([*lines, "", f"Provenance of the first cell: `{origin}`", ""])


def _row(cell: dict[str, Any]) -> str:
    seconds = cell["seconds"]
    bound = [cell["share_of_operations"] * t for t in seconds["everything"]]

    def ratio(ours: str, theirs: Sequence[float]) -> str:
        return (
            f"{statistics.median(a / b for a, b in zip(seconds[ours], theirs, strict=True)):.2f}"
        )

    columns = [
        f"{cell['network']}, {cell['image_size']}, {cell['batch_size']}",
        cell["mask"],
        f"{cell['share_of_operations']:.3f}",
        f"{statistics.median(seconds['ours']) * 1000:.1f}",
        ratio("ours", bound),
        ratio("ours", seconds["sum of pieces"]),
        ratio("ours", seconds["naive"]),
        f"{statistics.median(seconds['cached']) * 1000:.2f}",
        ratio("cached", seconds["sum of pieces, stored"]),
        ratio("everything", seconds["cached"]),
    ]
    return f"| {' | '.join(columns)} |"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = options(__doc__, data="busi", output="steps.jsonl")
    add = parser.add_argument
    add("--networks", nargs="+", default=list(NETWORKS), help=", ".join(NETWORKS))
    add("--masks", nargs="+", default=list(MASKS), help="; ".join(MASKS))
    add("--image-sizes", nargs="+", type=int, default=[64, 128, 224], help="pixels")
    add("--batch-sizes", nargs="+", type=int, default=[32, 16, 8], help="one for each size")
    add("--steps", type=int, default=12, help="of an epoch")
    add("--repetitions", type=int, default=5, help="of everything, taking turns")
    add("--compute", default="{}", help='of `Compute`, as JSON: \'{"precision": "bf16"}\'')
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
