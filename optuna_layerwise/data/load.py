"""`load_data`: any source to three splits of decoded images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import platformdirs

from optuna_layerwise.data.data_sources import Source, read_source
from optuna_layerwise.data.decode import Decoding
from optuna_layerwise.data.found_groups import split
from optuna_layerwise.data.images import Images, SealedImages, Splits
from optuna_layerwise.data.labels import alike, said
from optuna_layerwise.data.names import GROUP_RULE
from optuna_layerwise.data.notices import kept_notices, notice
from optuna_layerwise.data.raw import Part, content_digests, fingerprint
from optuna_layerwise.data.store import Decoded, decode_in_memory, decode_to_disk
from optuna_layerwise.data.value_range import value_range


def load_data(
    source: Source,
    *,
    image_size: int,
    resize: int | None = None,
    val: float = 0.2,
    test: float = 0.2,
    split_seed: int = 0,
    train_fraction: float = 1.0,
    paper_split: bool = False,
    group_by: str | None = "auto",
    group_rule: int = GROUP_RULE,
    columns: Mapping[str, str] | None = None,
    image_root: Source | Sequence[Source] = (),
    root: Source | None = None,
    download: bool = False,
    skip_bad_images: bool = False,
    memory_budget: int = 4 * 1024**3,
    cache_dir: Source | None = None,
) -> Splits:
    """Load, split and decode a data set, each image once.

    Args:
        source: A folder of class folders; a folder with ``train``, ``test`` and perhaps ``val``
            folders of class folders; a MedMNIST-style ``.npz``; a ``.csv`` with a row per image;
            or one of ``DATA_NAMES``, such as ``cifar10`` or ``digits`` (a folder of that name is
            ``./digits`` or a ``Path``).
        image_size: Side of the decoded images in pixels; see `decode`.
        resize: What the short side becomes before the centre is cropped, such as 232 for 224;
            ``None`` for that proportion, with images of the right size left alone.
        val: Share of the validation split: of the pool, or of train where only a test split
            exists. Unused where the source has its own.
        test: Share of the pool's test split; unused where the source has its own.
        split_seed: Seed of the stratified splits.
        train_fraction: Stratified share of the training split to train on; the images of a
            smaller share are among those of a larger one, validation and test stay the same.
        paper_split: Cut a pool as REVO-Tune does, not stratified: ``train_fraction`` and ``val``
            of all images, rounded down, and the rest to test. Classes may then be missing.
        group_by: Column of the table whose groups (lesions, patients) stay in one split. ``auto``
            is ``group`` for a table with that column, or else the coarsest that by its name has
            patients, lesions, slides or the like and from which splits can be made, with a
            warning; ``lesion_id`` for HAM10000, ``patient_id`` for ISIC 2020, and nothing
            otherwise or with ``paper_split``. ``None`` is nothing.
        group_rule: What ``auto`` means for a table: 1 as in studies of earlier versions, where
            ``group`` was the only name that was known.
        columns: What a table calls ``image``, ``label`` and ``split``.
        image_root: Folder, or folders, below which the images of a table lie.
        root: Folder that holds the data sets that go by name.
        download: Let torchvision download into ``root`` what is not there.
        skip_bad_images: Leave out images that cannot be decoded, with one warning, instead of
            raising. The other images keep their splits.
        memory_budget: Bytes of pixels to hold in memory; larger data sets are memory-mapped.
        cache_dir: Where memory-mapped data sets lie, by fingerprint; default a folder of the
            user's cache directory.

    Raises:
        ConnectionError: if the data cannot be downloaded.
        FileNotFoundError: if the source does not exist.
        OSError: if no space is left for what is downloaded or decoded.
        ValueError: if the source is not as expected, has too few images or bad ones, or does not
            take one of the options.

    Examples:
        >>> splits = load_data("digits", image_size=8)
        >>> splits.classes, len(splits.train), len(splits.val)
        (('5', '6', '7', '8', '9'), 50, 100)
    """
    if paper_split and group_by not in ("auto", None):
        raise ValueError(
            f"paper_split draws single images, so that groups of {group_by!r} cannot stay "
            "together; leave one of the two out"
        )
    if isinstance(image_root, (str, os.PathLike)):
        image_root = [image_root]
    image_roots = tuple(Path(folder).expanduser() for folder in image_root)
    with kept_notices() as said_of_source:
        raw = read_source(
            source,
            seed=split_seed,
            root=None if root is None else Path(root).expanduser(),
            download=download,
            columns=columns,
            image_root=image_roots,
            group_by=group_by,
            group_rule=group_rule,
        )
        _say_alike(raw.classes)
    if image_size < raw.least_size:
        raise ValueError(
            f"image_size must be at least {raw.least_size} for {source}, got {image_size}"
        )
    if resize is not None and resize < image_size:
        raise ValueError(f"resize must be at least image_size ({image_size}), got {resize}")
    with kept_notices() as said_of_splits:
        parts = split(
            raw,
            group_rule=group_rule,
            val=val,
            test=test,
            seed=split_seed,
            train_fraction=train_fraction,
            paper_split=paper_split,
        )
        scale = value_range(raw.parts.values())  # not of the parts, which may be a share of train
    contents = content_digests(parts)
    parameters: dict[str, float] = {
        "image_size": image_size,
        "val": val,
        "test": test,
        "split_seed": split_seed,
    }
    if resize is not None:  # absent, so that studies that never knew it keep their fingerprint
        parameters["resize"] = resize
    if scale is not None:
        parameters |= {"lowest_value": scale[0], "highest_value": scale[1]}
    key = fingerprint(raw.classes, parts, contents, parameters)
    decoding = Decoding(image_size, resize, scale)
    if sum(map(len, parts.values())) * image_size**2 * 3 <= memory_budget:
        decoded = decode_in_memory(parts, decoding)
    else:
        cache = platformdirs.user_cache_path("optuna-layerwise") / "images"
        folder = (Path(cache_dir) if cache_dir is not None else cache) / key
        decoded = decode_to_disk(parts, decoding, folder=folder)
    with kept_notices() as said_of_images:
        _report_bad(parts, decoded, skip=skip_bad_images)
        _warn_of_leaks(parts, decoded, contents)
        train, val_images, test_images = (
            _images(raw.classes, parts[name], decoded[name]) for name in ("train", "val", "test")
        )
        _require_every_split(train, val_images, test_images, classes_may_lack=paper_split)
    return Splits(
        train,
        val_images,
        SealedImages(test_images),
        key,
        os.fspath(source),
        raw.classes,
        notices=_without_places(
            [*said_of_source, *said_of_splits, *said_of_images], source, root, *image_roots
        ),
        decoding=decoding,
    )


def _without_places(texts: Sequence[str], *places: Source | None) -> tuple[str, ...]:
    """The texts with names instead of paths: they are published, and the data may move."""
    known = [Path(place) for place in places if place is not None]
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
    decoded: Mapping[str, Decoded],
    contents: Mapping[str, Sequence[str]],
) -> None:
    """Warn of test images that are also in train or val, byte for byte."""
    good = {
        split: [
            (digest, name)
            for index, (digest, name) in enumerate(zip(contents[split], part.names, strict=True))
            if index not in decoded[split][1]
        ]
        for split, part in parts.items()
    }
    seen = dict([*good["val"], *good["train"]])
    if leaks := [f"{name} = {seen[digest]}" for digest, name in good["test"] if digest in seen]:
        notice(
            f"{len(leaks)} of {len(parts['test'])} test images have the same content as one to "
            f"train or validate on: {', '.join(leaks[:3])}{', ...' if len(leaks) > 3 else ''}; "
            "what they add to the test result is no evidence",
        )


def _report_bad(parts: Mapping[str, Part], decoded: Mapping[str, Decoded], *, skip: bool) -> None:
    bad = [
        f"{parts[name].names[index]} ({reason})"
        for name, (_, reasons) in decoded.items()
        for index, reason in reasons.items()
    ]
    if not bad:
        return
    total = sum(map(len, parts.values()))
    shown = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
    message = f"{len(bad)} of {total} images cannot be decoded"
    if not skip:
        raise ValueError(
            f"{message}: {shown}; repair or remove them, or pass skip_bad_images=True "
            "(--skip-bad-images)"
        )
    notice(f"{message} and are left out: {shown}")


def _images(classes: tuple[str, ...], part: Part, decoded: Decoded) -> Images:
    pixels, bad = decoded
    good = [index for index in range(len(part)) if index not in bad]
    kept = part.take(np.array(good, dtype=np.int64))
    return Images(pixels, kept.labels, classes, kept.names, kept.groups)


def _require_every_split(
    train: Images, val: Images, test: Images, *, classes_may_lack: bool
) -> None:
    if lacking := _lacking(train):
        message = f"the training split has no image of the classes {lacking}"
        if not classes_may_lack:
            raise ValueError(f"{message}; add images")
        notice(f"{message}: nothing can learn them")
    for name, images in (("validation", val), ("test", test)):
        if not len(images):
            raise ValueError(f"the {name} split has no image that can be decoded; add images")
        if lacking := _lacking(images):
            notice(
                f"the {name} split has no image of the classes {lacking}: it does not judge how "
                "well they are learned"
            )


def _lacking(images: Images) -> str:
    """The classes without an image, for a message; empty if there is none."""
    counts = np.bincount(images.labels, minlength=len(images.classes))
    names = [name for name, count in zip(images.classes, counts, strict=True) if not count]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{names[:10]}{more}" if names else ""
