"""Does a stored prefix change a bit? `python -m benchmarks.training.prefixes`.

Every family of networks is trained from each of its cuts, with the outputs of the frozen prefix
stored and without, twice, so that the second training finds what the first has stored. Compared
are the weights, the buffers and all metrics after training. A cell is a network and a cut; each
is one line of the output and is not run again. `--table` writes the table alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.records import append, read
from benchmarks.training.common import begin, options
from optuna_layerwise import Policy, Recipe, load_data
from optuna_layerwise.data import Images
from optuna_layerwise.training import Compute, Fit, Trainer
from optuna_layerwise.training import prefixes as store
from tests.networks import NETWORKS

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    origin = begin(args)
    none = dict.fromkeys(store.LEAST_FLOPS_PER_BYTE, 0.0)
    with patch.dict(store.LEAST_FLOPS_PER_BYTE, none):  # they are stored, whether it pays or not
        if not args.table:
            run(args, origin)
    args.output.with_suffix(".md").write_text(table(read(args.output)))


def run(args: argparse.Namespace, origin: Mapping[str, Any]) -> None:
    """The cells that are not there yet."""
    done = {(cell["network"], cell["trained"]) for cell in read(args.output)}
    for network in args.networks:
        spec = NETWORKS[network].spec
        data = load_data(args.data, image_size=spec.image_size)
        few = dataclasses.replace(
            data, train=_first(data.train, args.images), val=_first(data.val, args.images // 2)
        )
        blocks = list(Trainer(spec, few, Recipe(), device="cpu").blocks)
        for first in range(1, len(blocks)):
            if (network, blocks[first]) in done:
                continue
            started = time.perf_counter()
            cell = compare(network, few, blocks, first, args.optimizer, args.device)
            append(args.output, {**cell, "provenance": origin})
            say(f"{network} from {blocks[first]}: {cell['bits']}, {cell['where']}", end=", ")
            say(f"{time.perf_counter() - started:.1f} s")


def compare(
    network: str,
    data: Any,
    blocks: list[str],
    first: int,
    optimizer: str,
    device: str,
) -> dict[str, Any]:
    """The two trainings with stored prefixes against one without."""
    recipe = Recipe(epochs=2, batch_size=4, patience=None, optimizer=optimizer)
    policy = Policy.uniform(blocks, blocks[first:])
    ends: list[tuple[Fit, dict[str, torch.Tensor]]] = []
    for compute in (Compute(), Compute(prefix_memory=0, prefix_disk=0)):
        trainer = Trainer(NETWORKS[network].spec, data, recipe, device=device, compute=compute)
        for _ in range(2 if compute == Compute() else 1):
            model = trainer.model()
            fit = trainer.train(policy, data.train, data.val, 0, model=model)
            ends.append((fit, model.state_dict()))
    *stored, plain = ends
    return {
        "network": network,
        "trained": blocks[first],
        "where": stored[-1][0].prefix,
        "bits": all(
            end[0].history == plain[0].history
            and all(torch.equal(t, plain[1][n]) for n, t in end[1].items())
            for end in stored
        ),
        "largest_relative_difference": max(_difference(end[1], plain[1]) for end in stored),
        "flops": [end[0].cost.flops for end in ends],
    }


def _difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """Largest difference of a tensor, relative to its largest value."""
    pairs = [(t.double(), theirs[n].double()) for n, t in ours.items() if t.numel()]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-30)) for a, b in pairs)


def _first(images: Images, n: int) -> Images:
    """As many of each class."""
    kinds = range(len(images.classes))
    each = [np.flatnonzero(images.labels == k)[: -(-n // len(kinds))] for k in kinds]
    return images.subset(np.sort(np.concatenate(each)))


def table(cells: list[dict[str, Any]]) -> str:
    """A row a network."""
    lines = [
        "# Stored prefixes against none",
        "",
        "Two epochs in batches of 4 (and a ragged end), two trainings of each cut; float32.",
        "",
        "| network | cuts | equal to the bit | largest relative difference | "
        "operations of the second training |",
        "|---|---|---|---|---|",
    ]
    for network, group in groupby(cells, key=lambda cell: cell["network"]):
        rows = list(group)
        shares = [row["flops"][1] / row["flops"][2] for row in rows]
        lines.append(
            f"| {network} | {len(rows)} | {sum(row['bits'] for row in rows)} | "
            f"{max(row['largest_relative_difference'] for row in rows):.1g} | "
            f"{min(shares):.3f} to {max(shares):.2f} of those without |"
        )
    origin = json.dumps(cells[0]["provenance"]) if cells else "nothing was run"
    return "\n".join([*lines, "", f"Provenance of the first cell: `{origin}`", ""])


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = options(__doc__, data="citrus", output="prefixes.jsonl")
    add = parser.add_argument
    add("--networks", nargs="+", default=list(NETWORKS), help="of tests/networks.py")
    add("--images", type=int, default=10, help="to train on; half as many to validate")
    add("--optimizer", default="adam", help="adam, adamw or sgd")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
