"""From what a source has to three splits of a network's inputs, whatever these are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.decode import Decoding
from optuna_layerwise.data.examples import Examples, SealedImages, Splits
from optuna_layerwise.data.found_groups import split
from optuna_layerwise.data.labels import alike, said
from optuna_layerwise.data.notices import kept_notices, notice
from optuna_layerwise.data.raw import Part, RawData, content_digests, fingerprint
from optuna_layerwise.data.targets import lacking, scale_of

if TYPE_CHECKING:
    from optuna_layerwise.data.tokens import Tokenizing

Inputs: TypeAlias = "tuple[NDArray[Any], dict[int, str]]"
"""The inputs of the good items, and for each bad one its index and the reason."""


class Reader(Protocol):
    """How items of one kind become inputs.

    Attributes:
        decoding: How new items are read alike, once `parameters` has seen all of them.
        skip_bad: Leave out items that cannot be read, with one warning, instead of raising.
    """

    decoding: Decoding | Tokenizing | None
    skip_bad: bool

    @property
    def makes(self) -> type[Examples]:
        """What they become."""

    def parameters(self, parts: Iterable[Part]) -> Mapping[str, Any]:
        """What decides the inputs beside the items, after a look at all of them."""

    def read(self, parts: Mapping[str, Part], key: str) -> Mapping[str, Inputs]:
        """The inputs of each split, whose fingerprint is ``key``."""


def prepared(
    raw: RawData,
    reader: Reader,
    source: str,
    *,
    val: float,
    test: float,
    split_seed: int,
    notices: Sequence[str] = (),
    places: Sequence[str | os.PathLike[str]] = (),
    paper_split: bool = False,
    **options: Any,
) -> Splits:
    """Split what a source has, and read it.

    Args:
        raw: What the source has.
        reader: Of its items.
        source: What it is called.
        val: See `load_data`.
        test: See `load_data`.
        split_seed: See `load_data`.
        notices: What was said of the source when it was read.
        places: Paths that notices are not to name.
        paper_split: See `load_data`.
        options: See `split`.

    Raises:
        ValueError: if there are too few items or bad ones.
    """
    with kept_notices() as said_of_splits:
        _say_alike(raw.classes)
        shares: dict[str, Any] = {"val": val, "test": test}
        parts = split(raw, seed=split_seed, paper_split=paper_split, **shares, **options)
        parameters = reader.parameters(raw.parts.values())  # a split may be a share of them
    contents = content_digests(parts)
    decided = {**parameters, **shares, "split_seed": split_seed}
    key = fingerprint(raw.classes, parts, contents, decided)
    noun = reader.makes.noun
    scale = scale_of(parts["train"].labels, raw.classes)
    with kept_notices() as said_of_items:
        inputs = reader.read(parts, key)
        _report_bad(parts, inputs, noun, skip=reader.skip_bad)
        _warn_of_leaks(parts, inputs, contents, noun)
        train, val_part, test_part = (
            _examples(reader.makes, raw.classes, parts[name], inputs[name], scale)
            for name in ("train", "val", "test")
        )
        _require_every_split(train, val_part, test_part, classes_may_lack=paper_split)
    return Splits(
        train,
        val_part,
        SealedImages(test_part),
        key,
        source,
        raw.classes,
        notices=_without_places([*notices, *said_of_splits, *said_of_items], *places),
        decoding=reader.decoding,
    )


def _without_places(texts: Sequence[str], *places: str | os.PathLike[str]) -> tuple[str, ...]:
    """The texts with names instead of paths: they are published, and the data may move."""
    known = [Path(place) for place in places]
    paths = {*known, *(path.expanduser().absolute() for path in known)} - {Path()}
    for path in sorted(paths, key=lambda path: -len(str(path))):
        texts = [text.replace(str(path), path.name or "the data") for text in texts]
    return tuple(texts)


def _say_alike(classes: Sequence[str]) -> None:
    if together := alike(classes):
        notice(
            "these classes differ only in upper and lower case, Unicode form, blanks, invisible "
            "characters or how a number is written, and count as classes of their own: "
            f"{'; '.join(map(said, together))}. If they are one class, give them one name"
        )


def _warn_of_leaks(
    parts: Mapping[str, Part],
    inputs: Mapping[str, Inputs],
    contents: Mapping[str, Sequence[str]],
    noun: str,
) -> None:
    """Warn of test items that are also in train or val, byte for byte."""
    good = {
        split: [
            (digest, name)
            for index, (digest, name) in enumerate(zip(contents[split], part.names, strict=True))
            if index not in inputs[split][1]
        ]
        for split, part in parts.items()
    }
    seen = dict([*good["val"], *good["train"]])
    if leaks := [f"{name} = {seen[digest]}" for digest, name in good["test"] if digest in seen]:
        notice(
            f"{len(leaks)} of {len(parts['test'])} test {noun} have the same content as one to "
            f"train or validate on: {', '.join(leaks[:3])}{', ...' if len(leaks) > 3 else ''}; "
            "what they add to the test result is no evidence",
        )


def _report_bad(
    parts: Mapping[str, Part], inputs: Mapping[str, Inputs], noun: str, *, skip: bool
) -> None:
    bad = [
        f"{parts[name].names[index]} ({reason})"
        for name, (_, reasons) in inputs.items()
        for index, reason in reasons.items()
    ]
    if not bad:
        return
    total = sum(map(len, parts.values()))
    shown = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
    message = f"{len(bad)} of {total} {noun} cannot be decoded"
    if not skip:
        raise ValueError(
            f"{message}: {shown}; repair or remove them, or pass skip_bad_images=True "
            "(--skip-bad-images)"
        )
    notice(f"{message} and are left out: {shown}")


def _examples(
    makes: type[Examples],
    classes: tuple[str, ...],
    part: Part,
    read: Inputs,
    scale: tuple[tuple[float, float], ...],
) -> Examples:
    inputs, bad = read
    good = [index for index in range(len(part)) if index not in bad]
    order = makes.order(inputs)
    kept = part.take(np.array(good, dtype=np.int64)[order])
    make: Any = makes
    examples: Examples = make(inputs[order], kept.labels, classes, kept.names, kept.groups, scale)
    return examples


def _require_every_split(
    train: Examples, val: Examples, test: Examples, *, classes_may_lack: bool
) -> None:
    noun = train.noun
    if lacking := _lacking(train):
        message = f"the training split has no {noun[:-1]} of the classes {lacking}"
        if not classes_may_lack:
            raise ValueError(f"{message}; add {noun}")
        notice(f"{message}: nothing can learn them")
    for name, part in (("validation", val), ("test", test)):
        if not len(part):
            raise ValueError(
                f"the {name} split has no {noun[:-1]} that can be decoded; add {noun}"
            )
        if lacking := _lacking(part):
            notice(
                f"the {name} split has no {noun[:-1]} of the classes {lacking}: it does not judge "
                "how well they are learned"
            )


def _lacking(part: Examples) -> str:
    """The classes without an example, for a message; empty if there is none."""
    names = lacking(part.labels, part.classes)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{names[:10]}{more}" if names else ""
