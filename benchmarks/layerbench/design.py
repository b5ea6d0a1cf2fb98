"""Which fine-tunings the table holds, in the order in which they are worth having.

A cell is a learning rate for every block (0 is frozen; the head always trains) and a seed. The
*grid* has every mask at five rates; the Sobol' points have a rate of their own in every block,
over the range that the encodings search (*wide*) and around the rates that work (*narrow*).
*Found* are policies at which searches of an earlier state of the table ended: a surrogate is most
wrong where samplers have looked for its maximum.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from scipy.stats import qmc

from benchmarks.training.common import SHARED, mobilenet
from optuna_layerwise import ModelSpec

"""What is committed."""
CONTESTS = Path("benchmarks/layerbench/contests")
"""Searches of them, committed, too."""
PROVENANCE = ("provenance", "more_provenance")
"""Keys of a header: of the first rows, and a list of that of later ones."""
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SEEDS = (0, 1, 2)
POINTS = 256
"""Sobol' points of each kind."""
RANGES = {"wide": (1e-5, 1e-1), "narrow": (3e-4, 3e-2)}
P_TRAINED = 0.75
"""Of a block of a Sobol' point: more often than not, so that rates tell something."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One fine-tuning: ``rates`` of all blocks in forward order, 0 where frozen."""

    kind: str
    rates: tuple[float, ...]
    seed: int


def resnet20(image_size: int) -> ModelSpec:
    """The CIFAR-10 network with the shared weights."""
    return ModelSpec(
        name="resnet20",
        weights=SHARED / "weights/resnet20-12fca82f.th",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        image_size=image_size,
    )


MODELS = {"mobilenet": lambda: mobilenet(64), "resnet20": lambda: resnet20(32)}


def cells(n_blocks: int, rates: Sequence[float], seeds: Sequence[int], points: int) -> list[Cell]:
    """All cells of a data set: the grid's first seed, half of the points, the other seeds, ..."""
    grids = [list(grid(n_blocks, rates, seed)) for seed in seeds]
    wide, narrow = (list(sobol(n_blocks, kind, points)) for kind in RANGES)
    alternating = list(itertools.chain.from_iterable(zip(wide, narrow, strict=True)))
    half = len(alternating) // 2
    parts = [*grids[:2], alternating[:half], *grids[2:], alternating[half:]]
    return list(itertools.chain.from_iterable(parts))


def grid(n_blocks: int, rates: Sequence[float], seed: int) -> Iterator[Cell]:
    """Every mask at every rate."""
    for mask in itertools.product((1, 0), repeat=n_blocks - 1):
        for rate in rates:
            yield Cell("grid", tuple(rate * bit for bit in (*mask, 1)), seed)


def sobol(n_blocks: int, kind: str, points: int) -> Iterator[Cell]:
    """Scrambled Sobol' points: a rate for each block, and a mask of all blocks but the head."""
    low, high = map(math.log10, RANGES[kind])
    sampler = qmc.Sobol(2 * n_blocks - 1, seed=list(RANGES).index(kind))
    for point in sampler.random(points) if points else ():
        rates = [float(f"{10 ** (low + (high - low) * u):.4g}") for u in point[:n_blocks]]
        mask = [*(u < P_TRAINED for u in point[n_blocks:]), True]
        yield Cell(kind, tuple(r if on else 0.0 for r, on in zip(rates, mask, strict=True)), 0)
