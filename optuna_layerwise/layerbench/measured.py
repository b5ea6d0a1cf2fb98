"""A table of real fine-tunings: reading it, and its columns as arrays."""

from __future__ import annotations

import dataclasses
import lzma
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.io.plain import decoded

Array = NDArray[np.float64]

FORMAT = 1
SUFFIX = ".jsonl.xz"
METRICS = ("loss", "accuracy", "balanced_accuracy", "auc")
SPLITS = ("val", "test")


@dataclasses.dataclass(frozen=True)
class Table:
    """One network on one data set; a row is one training.

    Args:
        header: What all rows share: blocks, their operations and parameters, recipe, images,
            provenance.
        rates: Learning rates [rows, blocks] in forward order, 0 is frozen.
        seeds: Of the training [rows].
        kinds: ``grid``, ``wide``, ``narrow`` or ``found`` [rows].
        curves: Metrics by split and name, [rows, epochs]; NaN after a divergence.
        train_loss: [rows, epochs], the same.
        seconds: Processor time from the beginning to the end of each epoch [rows, epochs].
        work: Operations of a training step over those with every block trained [rows].
        made: Place in `provenances` of what made it, -1 where that is not known [rows].
    """

    header: Mapping[str, Any]
    rates: Array
    seeds: NDArray[np.int64]
    kinds: NDArray[np.str_]
    curves: Mapping[tuple[str, str], Array]
    train_loss: Array
    seconds: Array
    work: Array
    made: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rates)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Block names in forward order; the last is the head."""
        return tuple(self.header["blocks"])

    @property
    def epochs(self) -> int:
        """Of a training."""
        return int(self.header["recipe"]["epochs"])

    @property
    def provenances(self) -> list[Mapping[str, Any]]:
        """The commits, packages and machines that filled it."""
        return [self.header["provenance"], *self.header.get("more_provenance", ())]

    @cached_property
    def policies(self) -> tuple[Array, NDArray[np.int64]]:
        """Each different row of ``rates``, and for every row of the table its number there."""
        unique, inverse = np.unique(self.rates, axis=0, return_inverse=True)
        return unique, inverse.reshape(-1)

    def where(self, rows: NDArray[np.bool_]) -> Table:
        """The chosen rows."""
        return Table(
            self.header,
            self.rates[rows],
            self.seeds[rows],
            self.kinds[rows],
            {name: curve[rows] for name, curve in self.curves.items()},
            self.train_loss[rows],
            self.seconds[rows],
            self.work[rows],
            self.made[rows],
        )


def read_table(path: Path) -> Table:
    """Read a table, compressed (``.xz``) or as the builder left it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a table; the message has the line.
    """
    header: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    number = 0
    try:
        for line in lines_of(path):
            number += 1
            content = decoded(line)
            if "format" not in content:
                rows.append(content)
            elif content["format"] != FORMAT:
                raise ValueError(f"it has format {content['format']}, expected {FORMAT}")
            else:
                header = header or content
    except (ValueError, TypeError, lzma.LZMAError, EOFError) as error:
        where = f"line {number} of {path}" if number else str(path)
        raise ValueError(f"{where} is not of a LayerBench: {error}") from error
    if not header or not rows:
        raise ValueError(f"{path} is no LayerBench: it has no header, or no rows")
    try:
        return _table(header, rows)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        lacks = isinstance(error, KeyError)
        reason = f"it lacks {error}" if lacks else str(error).split("\n")[0]
        raise ValueError(f"{path} is no whole LayerBench: {reason}") from error


def _table(header: dict[str, Any], rows: list[dict[str, Any]]) -> Table:
    epochs = header["recipe"]["epochs"]
    return Table(
        header,
        np.array([row["rates"] for row in rows], dtype=np.float64),
        np.array([row["seed"] for row in rows]),
        np.array([row["kind"] for row in rows]),
        {
            (split, metric): _padded([row[split][metric] for row in rows], epochs)
            for split in SPLITS
            for metric in METRICS
        },
        _padded([row["train_loss"] for row in rows], epochs),
        _padded([row["seconds"] for row in rows], epochs),
        np.array([row["work"] for row in rows]),
        np.array([row.get("made", -1) for row in rows]),
    )


def lines_of(path: Path) -> Iterator[str]:
    """The JSON lines of a table: its header, then its rows."""
    if path.suffix == ".xz":
        with lzma.open(path, "rt") as file:
            yield from file
    else:
        yield from path.read_text().splitlines()


def _padded(rows: list[list[float]], length: int) -> Array:
    padded = np.full((len(rows), length), np.nan)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded
