"""Labelled inputs of a network in memory (or in a memory-mapped file), and the sealed test split.

Every split has inputs of its own: no array behind `Splits.train` or `Splits.val` holds a row of
the test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.decode import Decoding
from optuna_layerwise.data.targets import Labels, check_labels, task_named
from optuna_layerwise.recipe import TaskName

if TYPE_CHECKING:
    from typing_extensions import Self

    from optuna_layerwise.data.tokens import Tokenizing

Indices: TypeAlias = "NDArray[np.integer[Any]] | NDArray[np.bool_] | Sequence[int] | slice"


class Stacked:
    """Several arrays one behind the other, of which rows are read only when indexed."""

    def __init__(self, *parts: NDArray[Any] | Rows) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape: tuple[int, ...] = (int(self._starts[-1]), *parts[0].shape[1:])
        self.dtype: np.dtype[Any] = parts[0].dtype
        self.ndim: int = parts[0].ndim

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: Indices) -> NDArray[Any]:
        rows = np.arange(len(self))[indices]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        which = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(which):
            here = which == number
            found[here] = self._parts[number][rows[here] - self._starts[number]]
        return found


class Rows:
    """Some rows of an array, in a chosen order, read only when indexed (what `subset` holds)."""

    def __init__(self, inputs: NDArray[Any] | Stacked, rows: NDArray[np.int64]) -> None:
        self._inputs, self._rows = inputs, rows
        self.shape: tuple[int, ...] = (len(rows), *inputs.shape[1:])
        self.dtype, self.ndim = inputs.dtype, inputs.ndim

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Indices) -> NDArray[Any]:
        return self._inputs[self._rows[indices]]

    def take(self, positions: NDArray[np.int64]) -> Rows:
        """A choice of these rows; copies no inputs."""
        return Rows(self._inputs, self._rows[positions])


class Examples:
    """Labelled inputs of one shape: `Images`, or `Arrays` of other numbers.

    Attributes:
        labels: int64 [N], indices into ``classes``; or uint8 [N, classes], 1 for each label that
            an example has; or float32 [N, classes], its targets.
        classes: The names of classes, labels or targets.
        names: One name per example, for messages: relative file name or index.
        groups: One name per example of what it belongs to, such as a patient, where the splits
            keep groups together.
        scale: The mean and the standard deviation of each target over the training examples;
            empty for classes and labels.
        noun: What they are called in messages.
    """

    labels: Labels
    classes: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...] | None
    scale: tuple[tuple[float, float], ...]
    noun: ClassVar[str] = "examples"
    _field: ClassVar[str]
    """The name of the field that has the inputs."""

    @property
    def inputs(self) -> NDArray[Any] | Rows:
        """Numbers [N, ...]; an array, a memory map, or the `Rows` of a subset.

        Indexed with an array of integers, each gives an array; `batch` is the way that also
        serves slices.
        """
        inputs: NDArray[Any] | Rows = getattr(self, self._field)
        return inputs

    def check(self) -> None:
        """Verify that all fields fit together.

        Raises:
            ValueError: if not.
        """
        n = self.inputs.shape[0]
        check_labels(self.labels, n, self.classes, self._field)
        if len(self.names) != n:
            raise ValueError(f"expected {n} names like the {self._field}, got {len(self.names)}")

    @property
    def task(self) -> TaskName:
        """What a network is to answer: a name in ``tasks.TASKS``."""
        return task_named(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Indices) -> Self:
        """The examples at ``indices`` in that order; they share the inputs, nothing is copied.

        The inputs of a subset are `Rows` over the same array, of whichever kind, so that folds of
        a memory-mapped split stay on disk and folds in memory take no second copy.
        """
        positions = np.arange(len(self))[indices]
        rows = self.inputs if isinstance(self.inputs, Rows) else _all_rows(self.inputs)
        return self._with(
            rows.take(positions),
            labels=self.labels[positions],
            names=tuple(self.names[position] for position in positions),
            groups=self.groups and tuple(self.groups[position] for position in positions),
        )

    def batch(self, indices: Indices = slice(None)) -> NDArray[Any]:
        """A new array [n, ...] with the inputs at ``indices``, by default all."""
        return np.asarray(self.inputs[np.arange(len(self))[indices]])

    @classmethod
    def order(cls, inputs: NDArray[Any]) -> NDArray[np.int64] | slice:
        """In which order a split has its examples: as the source does."""
        return slice(None)

    def _with(self, inputs: Rows, **fields: Any) -> Self:
        this: Any = self
        made: Self = replace(this, **{self._field: inputs}, **fields)
        return made

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        """Of inputs that are filled up to one length, how long each is, [N]; else ``None``."""
        return None

    def shown(self, n: int) -> NDArray[Any]:
        """Inputs [n, ...] to try a network on."""
        return self.batch(np.arange(n) % len(self))

    def typical(self) -> NDArray[Any]:
        """One input [1, ...] whose cost is like that of the others."""
        return self.shown(1)


@dataclass(frozen=True, eq=False)
class Arrays(Examples):
    """Labelled arrays of one shape, which a network takes as they are; see `Examples`.

    Args:
        values: Numbers [N, ...]: float32, or int64 for what a network looks up in a table.
        labels: See `Examples`.
        classes: See `Examples`.
        names: See `Examples`.
        groups: See `Examples`.
        scale: See `Examples`.

    Raises:
        ValueError: if shapes, types or labels do not fit together.

    Examples:
        >>> sounds = Arrays(np.zeros((3, 800), np.float32), np.array([0, 1, 0]), ("a", "b"),
        ...                 ("x", "y", "z"))
        >>> sounds.subset([2, 1]).names
        ('z', 'y')
        >>> sounds.batch([0, 2]).shape
        (2, 800)
    """

    values: NDArray[Any] | Rows
    labels: Labels
    classes: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    scale: tuple[tuple[float, float], ...] = ()

    _field: ClassVar[str] = "values"

    def __post_init__(self) -> None:
        shape, dtype = self.values.shape, self.values.dtype
        if dtype not in (np.float32, np.int64) or len(shape) < 2:
            raise ValueError(
                f"values must be float32 or int64 [N, ...], got {dtype} {list(shape)}"
            )
        self.check()


def as_numbers(item: Any) -> NDArray[Any]:
    """An array or tensor as float32, or as int64 if it holds whole numbers.

    Raises:
        ValueError: if it holds something else.
    """
    array = np.asarray(item.cpu() if hasattr(item, "cpu") else item)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected an array of numbers, got {array.dtype} {list(array.shape)}")
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)


class SealedImages:
    """The test split, of whatever examples, out of the search's reach: it shows its length alone.

    Only ``finalize`` calls `open`, once, after the search has chosen.
    """

    __slots__ = ("__examples",)

    def __init__(self, examples: Examples) -> None:
        self.__examples = examples

    def __len__(self) -> int:
        return len(self.__examples)

    def __repr__(self) -> str:
        return f"<{len(self)} sealed {self.__examples.noun}>"

    def open(self) -> Examples:
        """The test examples. Only ``finalize`` does this."""
        return self.__examples


@dataclass(frozen=True, eq=False)
class Splits:
    """The three splits of a data set.

    Args:
        train: Examples to train on.
        val: Examples that choose between policies.
        test: Examples that judge the chosen one.
        fingerprint: Hexadecimal SHA-256 of everything that decides the splits' content.
        source: What the data was loaded from.
        classes: The class names.
        notices: What a reader of results must know about the data, such as test images that are
            also among the training images; each was a warning when the data was loaded.
        decoding: How new images are decoded alike, or new texts become tokens. ``None`` for
            arrays, and for pixels that come from elsewhere: new images are then resized and
            cropped as `decode` does by default.
    """

    train: Examples
    val: Examples
    test: SealedImages
    fingerprint: str
    source: str
    classes: tuple[str, ...]
    notices: tuple[str, ...] = ()
    decoding: Decoding | Tokenizing | None = None


def joined(first: Examples, second: Examples) -> Examples:
    """All of two splits of one data set, the first split's first; copies no inputs."""
    groups = None
    if first.groups is not None and second.groups is not None:
        groups = (*first.groups, *second.groups)
    return first._with(
        _all_rows(Stacked(first.inputs, second.inputs)),
        labels=np.concatenate([first.labels, second.labels]),
        names=(*first.names, *second.names),
        groups=groups,
    )


def _all_rows(inputs: NDArray[Any] | Stacked) -> Rows:
    return Rows(inputs, np.arange(len(inputs)))
