"""What is run: methods on networks and data sets, as cells, each of them one study."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.protocols.arms import Arm

DIGITS, DIGITS_CNN = "digits", "digits_cnn"
"""Data and network that the package brings."""
MOBILENET, RESNET20 = "mobilenet_v2_w035", "resnet20_cifar10"
"""Small networks with weights in a file."""

Block = tuple[str, str, float, int]
"""Network, data set, fraction and run."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One method, once: a study, and a file with what came out."""

    experiment: str
    arm: str
    network: str
    data: str
    fraction: float
    run: int

    @property
    def block(self) -> Block:
        """Where all methods have the same images."""
        return self.network, self.data, self.fraction, self.run

    @property
    def study(self) -> str:
        """Name of its study, and of its file."""
        where = f"{self.network}.{self.data}.{100 * self.fraction:g}%"
        return f"{self.experiment}.{where}.{self.arm}.{self.run}"

    def file(self, results: Path) -> Path:
        """Where its result is."""
        return results / self.experiment / f"{self.study}.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Cells that are alike but for what a cell names.

    Args:
        name: Of the experiment with its scale; studies and results are kept under it.
        arms: Name to method.
        networks: Names of `NETWORKS`.
        sets: Names of data sets, see `source_of`.
        fractions: Of the images, to train on: of all of them with ``of_all`` or ``paper_split``,
            else of the training split.
        runs: Seeds of the search; the whole is repeated for each.
        image_size: Side of the images in pixels.
        resize: See `load_data`.
        val: Share of the validation split.
        test: Share of the test split.
        of_all: See ``fractions``; the test split is then the same for all of them.
        paper_split: REVO-Tune's, see `load_data`; each fraction has a test split of its own.
        new_split: Each run has a split of its own, instead of the same one.
        new_seeds: Each run has training seeds of its own: the arm's, and the run added.
    """

    name: str
    arms: Mapping[str, Arm]
    networks: tuple[str, ...]
    sets: tuple[str, ...]
    fractions: tuple[float, ...] = (1.0,)
    runs: tuple[int, ...] = (0,)
    image_size: int = 224
    resize: int | None = None
    val: float = 0.2
    test: float = 0.2
    of_all: bool = False
    paper_split: bool = False
    new_split: bool = False
    new_seeds: bool = False

    def cells(self) -> Iterator[Cell]:
        """All of them, one run after the other: whenever it is stopped, it is balanced."""
        for run, network, data, fraction, arm in itertools.product(
            self.runs, self.networks, self.sets, self.fractions, self.arms
        ):
            yield Cell(self.name, arm, network, data, fraction, run)

    def on_digits(self) -> Experiment:
        """The same with what needs no file."""
        return dataclasses.replace(
            self,
            name=f"{self.name}-digits",
            networks=(DIGITS_CNN,),
            sets=(DIGITS,),
            image_size=8,
            resize=None,
        )
