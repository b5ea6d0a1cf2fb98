"""Data that a Python program has at hand: arrays, data sets of torch, tables of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from optuna_layerwise.data.decode import Decoding
from optuna_layerwise.data.examples import Arrays, Splits, as_numbers
from optuna_layerwise.data.folder import split_named
from optuna_layerwise.data.load import ImageReader
from optuna_layerwise.data.prepare import Inputs, prepared
from optuna_layerwise.data.raw import Part, RawData
from optuna_layerwise.data.targets import Labels, names_as_labels
from optuna_layerwise.data.tokens import TextReader, Tokenizing
from optuna_layerwise.recipe import TaskName

_EXPECTED = (
    "expected (inputs, labels), a data set whose items are (input, label), or one whose items "
    "are mappings, with columns=(input, label); or a mapping of train, val and test to such"
)


class ArrayReader:
    """Gives a network arrays as they are; see `Reader`."""

    makes = Arrays
    skip_bad = False

    def __init__(self) -> None:
        self.decoding: Decoding | Tokenizing | None = None

    def parameters(self, parts: Iterable[Part]) -> Mapping[str, Any]:
        """See `Reader`."""
        shapes: dict[tuple[int, ...], str] = {}
        for part in parts:
            for item, name in zip(part.items, part.names, strict=True):
                shapes.setdefault(item.shape, name)
        if len(shapes) > 1:
            shown = "; ".join(
                f"{list(shape)} (item {name})" for shape, name in [*shapes.items()][:3]
            )
            raise ValueError(f"expected inputs of one shape, got {shown}")
        return {"inputs": "arrays"}

    def read(self, parts: Mapping[str, Part], key: str) -> Mapping[str, Inputs]:
        """See `Reader`."""
        return {name: (np.stack(part.items), {}) for name, part in parts.items()}


def load_examples(
    data: Any,
    *,
    columns: tuple[str, str] | None = None,
    classes: Sequence[str] | None = None,
    task: TaskName = "classification",
    groups: Sequence[Any] | None = None,
    image_size: int | None = None,
    tokenizing: Tokenizing | None = None,
    name: str = "own data",
    val: float = 0.2,
    test: float = 0.2,
    split_seed: int = 0,
    train_fraction: float = 1.0,
) -> Splits:
    """Split data of your own for `FinetuneObjective`.

    Every item is read once and kept in memory, so that random transforms of a data set are
    frozen; use ``Recipe.augment`` for images instead. What the inputs are decides what becomes of
    them:

    * Images of Pillow, and arrays uint8 [H, W, 3] or [H, W] with ``image_size``, are decoded and
      normalised like those of `load_data`.
    * Texts, and pairs of texts, become tokens by ``tokenizing``.
    * Arrays and tensors of one shape are given to the network as they are: floats as float32,
      whole numbers as int64.

    Args:
        data: ``(inputs, labels)``; or a ``torch.utils.data.Dataset`` (anything with a length and
            items) of pairs, or of mappings such as the rows of Hugging Face's ``datasets``; or a
            mapping of ``train``, and perhaps ``val`` (``validation``) and ``test``, to such.
        columns: The names of input and label, where items are mappings.
        classes: The names of the labels 0, 1, ...; by default what the data set says
            (``classes``, or the feature of the label column), or else the labels themselves. For
            other tasks the names of labels or targets.
        task: What the labels are. ``classification``: a name or a number each.
            ``multilabel``: a list of names each, or a row of 0 and 1. ``regression``: a number or
            a row of numbers each.
        groups: One per item of data without splits; the splits keep groups together.
        image_size: Side of the images in pixels.
        tokenizing: How texts become tokens; see `Tokenizing`.
        name: What the data are called in results.
        val: See `load_data`.
        test: See `load_data`.
        split_seed: See `load_data`.
        train_fraction: See `load_data`.

    Raises:
        ValueError: if it is something else, or labels and inputs do not fit together.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> splits = load_examples((rng.normal(size=(40, 8)), ["a", "b"] * 20))
        >>> splits.classes, splits.train.inputs.shape, splits.train.inputs.dtype
        (('a', 'b'), (24, 8), dtype('float32'))
    """
    named = _by_split(data)
    if groups is not None and (len(named) > 1 or "pool" not in named):
        raise ValueError("groups are for data without splits of their own; leave them out")
    read = {split: _columns(each, columns, split) for split, each in named.items()}
    labels = [label for _, these in read.values() for label in these]
    known, numbers = _numbers(task, labels, classes or _told_classes(named, columns))
    reader, items = _reader(read, image_size, tokenizing)
    parts, begin = {}, 0
    for split, (_, theirs) in read.items():
        where = "" if split == "pool" else f"{split} "
        parts[split] = Part(
            items[split],
            numbers[begin : begin + len(theirs)],
            tuple(f"{where}{place}" for place in range(len(theirs))),
            None if groups is None else tuple(map(str, groups)),
        )
        begin += len(theirs)
        if groups is not None and len(groups) != len(theirs):
            raise ValueError(f"expected {len(theirs)} groups, one per item, got {len(groups)}")
    return prepared(
        RawData(known, parts),
        reader,
        name,
        val=val,
        test=test,
        split_seed=split_seed,
        train_fraction=train_fraction,
    )


def _by_split(data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        return {"pool": data}
    named: dict[str, Any] = {}
    for key, each in data.items():
        split = split_named(str(key))
        if split is None or split in named:
            raise ValueError(f"{_EXPECTED}; got a mapping of {[*data]}")
        named[split] = each
    if "train" not in named:
        raise ValueError(f"{_EXPECTED}; got a mapping of {[*data]}, without train")
    return named


def _columns(
    data: Any, columns: tuple[str, str] | None, split: str
) -> tuple[list[Any], list[Any]]:
    """Inputs and labels."""
    if isinstance(data, tuple) and len(data) == 2:
        inputs, labels = list(data[0]), list(data[1])
        if len(inputs) != len(labels):
            raise ValueError(f"expected one label per input, got {len(labels)} for {len(inputs)}")
        return inputs, labels
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, str):
        raise ValueError(f"{_EXPECTED}; got {type(data).__name__}")
    inputs, labels = [], []
    for place in range(len(data)):
        item = data[place]
        if isinstance(item, Mapping):
            if columns is None or not all(column in item for column in columns):
                raise ValueError(
                    f"expected columns=(input, label) among {[*item]}, got {columns!r}"
                )
            item = tuple(item[column] for column in columns)
        if not (isinstance(item, tuple | list) and len(item) == 2):
            raise ValueError(f"{_EXPECTED}; got {type(item).__name__} as item {place} of {split}")
        inputs.append(item[0])
        labels.append(item[1])
    return inputs, labels


def _plain(labels: Any) -> Iterator[Any]:
    """Labels as str or int."""
    for label in labels:
        plain = label.item() if hasattr(label, "item") else label
        if isinstance(plain, float) and plain.is_integer():
            plain = int(plain)
        if not isinstance(plain, str | int):
            raise ValueError(f"a label must be a name or a whole number, got {label!r}")
        yield plain


def _numbers(
    task: str, labels: Sequence[Any], told: Sequence[str] | None
) -> tuple[tuple[str, ...], Labels]:
    """The names of classes, labels or targets, and the labels as `Examples` have them."""
    if task == "classification":
        plain = [*_plain(labels)]
        known = _classes(plain, told)
        places = {label: number for number, label in enumerate(known)}
        return tuple(map(str, known)), np.array(
            [_number(label, places, known) for label in plain], np.int64
        )
    rows = [label.tolist() if hasattr(label, "tolist") else label for label in labels]
    lists = all(isinstance(row, list | tuple) for row in rows)
    if task == "multilabel" and lists and not any(type(n) is not str for row in rows for n in row):
        return names_as_labels(rows, told)
    try:
        table = np.array(rows, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected as many numbers for each example ({task}): {error}") from error
    table = table.reshape(len(rows), -1)
    if task == "multilabel" and not np.isin(table, (0, 1)).all():
        raise ValueError("expected lists of names, or rows of 0 and 1, got other numbers")
    kind = "label" if task == "multilabel" else "target"
    names = tuple(told or (f"{kind} {place}" for place in range(table.shape[1])))
    if len(names) != table.shape[1]:
        raise ValueError(f"expected {len(names)} numbers for {[*names]}, got {table.shape[1]}")
    if not np.isfinite(table).all():
        where = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f"expected finite numbers, got {rows[where]} as label of item {where}")
    return names, table.astype(np.uint8 if task == "multilabel" else np.float32)


def _told_classes(named: Mapping[str, Any], columns: tuple[str, str] | None) -> Any:
    first = next(iter(named.values()))
    features = getattr(first, "features", None)
    if columns is not None and isinstance(features, Mapping):
        return getattr(features.get(columns[1]), "names", None)
    return getattr(first, "classes", None)


def _classes(labels: Sequence[Any], told: Sequence[str] | None) -> list[Any]:
    found = set(labels)
    if told is not None and not isinstance(told, str):
        return [str(each) for each in told]
    if len({type(label) for label in found}) > 1 or len(found) < 2:
        shown = sorted(map(repr, found))[:5]
        raise ValueError(f"expected labels of two classes or more, all of one type, got {shown}")
    return sorted(found)


def _number(label: Any, numbers: Mapping[Any, int], known: Sequence[Any]) -> int:
    """The place of a label among the classes; a number that is no name is its own place."""
    if label in numbers:
        return numbers[label]
    if isinstance(label, int) and 0 <= label < len(known):
        return label
    raise ValueError(
        f"expected labels among {[*known][:10]} or 0 to {len(known) - 1}, got {label!r}"
    )


def _reader(
    read: Mapping[str, tuple[list[Any], list[Any]]],
    image_size: int | None,
    tokenizing: Tokenizing | None,
) -> tuple[Any, dict[str, list[Any]]]:
    """What reads the inputs, and these as it takes them."""
    first = next((inputs[0] for inputs, _ in read.values() if inputs), None)
    if first is None:
        raise ValueError(f"{_EXPECTED}, with at least one item; got none")
    if isinstance(first, str) or (
        isinstance(first, tuple | list) and all(isinstance(each, str) for each in first)
    ):
        if tokenizing is None:
            raise ValueError(
                "the inputs are texts: expected tokenizing=, such as "
                "Tokenizing(*ModelSpec('transformers/FOLDER').tokenizer)"
            )
        return TextReader(tokenizing), {
            s: [_text(x, s) for x in xs] for s, (xs, _) in read.items()
        }
    if isinstance(first, Image | Path) or image_size is not None:
        if image_size is None:
            raise ValueError("the inputs are images: expected image_size=, their side in pixels")
        return ImageReader(image_size), {s: [*map(_pixels, xs)] for s, (xs, _) in read.items()}
    return ArrayReader(), {s: [*map(as_numbers, xs)] for s, (xs, _) in read.items()}


def _text(text: Any, split: str) -> tuple[str, ...]:
    item = (text,) if isinstance(text, str) else tuple(text)
    if not item or not all(isinstance(each, str) and each.strip() for each in item):
        raise ValueError(f"expected texts that are not empty, got {text!r} in {split}")
    return item


def _pixels(image: Any) -> Any:
    if isinstance(image, Path):
        return image
    if isinstance(image, Image):
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    array = np.asarray(image.cpu() if hasattr(image, "cpu") else image)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = np.moveaxis(array, 0, -1)
    if array.dtype != np.uint8 or array.shape[2:] not in ((), (3,)) or array.ndim not in (2, 3):
        raise ValueError(
            "expected images of Pillow, or arrays uint8 [H, W] or [H, W, 3], got "
            f"{array.dtype} {list(array.shape)}; leave image_size out to give the network arrays "
            "as they are"
        )
    return array
