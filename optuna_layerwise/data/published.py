"""The data sets that torchvision knows, with their official splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from optuna_layerwise.data.decode import Item
from optuna_layerwise.data.fetch import fetch
from optuna_layerwise.data.raw import Part, RawData

_TRAIN_TEST: dict[str, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
_SPLITS = {"train": {"split": "train"}, "test": {"split": "test"}}
_WITH_VAL = {"train": {"split": "train"}, "val": {"split": "val"}, "test": {"split": "test"}}
_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Published:
    """One of torchvision's data sets.

    Args:
        dataset: Torchvision's class.
        splits: Our split to the arguments that give it.
        page: Where to read about it.
        archives: What torchvision downloads, relative to the root.
        places: Where the unpacked set lies, relative to the root.
        classes: Their names, where torchvision has none.
        checksums: File relative to the root to the MD5 that torchvision knows, where it does not
            compare them itself on reading.
    """

    dataset: Callable[..., Any]
    splits: Mapping[str, Mapping[str, Any]]
    page: str
    archives: tuple[str, ...]
    places: tuple[str, ...]
    classes: tuple[str, ...] = ()
    checksums: Callable[[], Mapping[str, str]] = field(default=dict)


PUBLISHED: dict[str, Published] = {
    "mnist": Published(
        datasets.MNIST,
        _TRAIN_TEST,
        page="http://yann.lecun.com/exdb/mnist/",
        archives=tuple(f"MNIST/raw/{name}" for name, _ in datasets.MNIST.resources),
        places=("MNIST",),
        classes=_DIGITS,
    ),
    "usps": Published(
        datasets.USPS,
        _TRAIN_TEST,
        page="https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps",
        archives=("usps.bz2", "usps.t.bz2"),
        places=("usps.bz2", "usps.t.bz2"),
        classes=_DIGITS,
        checksums=lambda: {name: md5 for _, name, md5 in datasets.USPS.split_list.values()},
    ),
    "svhn": Published(
        datasets.SVHN,
        _SPLITS,
        page="http://ufldl.stanford.edu/housenumbers/",
        archives=("train_32x32.mat", "test_32x32.mat"),
        places=("train_32x32.mat", "test_32x32.mat"),
        classes=_DIGITS,
    ),
    "cifar10": Published(
        datasets.CIFAR10,
        _TRAIN_TEST,
        page="https://www.cs.toronto.edu/~kriz/cifar.html",
        archives=("cifar-10-python.tar.gz",),
        places=("cifar-10-batches-py",),
    ),
    "stl10": Published(
        datasets.STL10,
        _SPLITS,
        page="https://cs.stanford.edu/~acoates/stl10/",
        archives=("stl10_binary.tar.gz",),
        places=("stl10_binary",),
    ),
    "flowers102": Published(
        datasets.Flowers102,
        _WITH_VAL,
        page="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        archives=tuple(
            f"flowers-102/{name}" for name in ("102flowers.tgz", "imagelabels.mat", "setid.mat")
        ),
        places=("flowers-102",),
        classes=tuple(str(number) for number in range(1, 103)),
    ),
    "fgvc_aircraft": Published(
        datasets.FGVCAircraft,
        _WITH_VAL,  # of variants, torchvision's default
        page="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
        archives=("fgvc-aircraft-2013b.tar.gz",),
        places=("fgvc-aircraft-2013b",),
    ),
    "dtd": Published(
        datasets.DTD,
        _WITH_VAL,  # split 1 of 10, torchvision's default
        page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        archives=("dtd/dtd-r1.0.1.tar.gz",),
        places=("dtd/dtd",),
    ),
}
"""Name to data set."""


def read_published(name: str, *, root: Path | None, download: bool = False) -> RawData:
    """Read a set of ``PUBLISHED`` from ``root``, in torchvision's layout.

    Args:
        name: Of the data set.
        root: Torchvision's root folder; it may hold several data sets.
        download: Get what is missing or damaged there.

    Raises:
        ConnectionError: if it cannot be downloaded.
        FileNotFoundError: if nothing of the set is there.
        OSError: if no space is left for it.
        ValueError: if ``root`` is missing or the set is damaged.
    """
    row = PUBLISHED[name]
    if root is None:
        raise ValueError(
            f"{name} needs root (--data-root): the folder that holds it, or shall hold it with "
            "download=True (--download)"
        )
    try:
        return _read(name, row, root)
    except (FileNotFoundError, ValueError):
        if not download:
            raise
    known = row.checksums()
    fetch(
        name,
        row.dataset,
        row.splits.values(),
        root,
        archives=row.archives,
        reuse=[a for a in row.archives if a not in known or check_integrity(root / a, known[a])],
        page=row.page,
    )
    return _read(name, row, root)


def _read(name: str, row: Published, root: Path) -> RawData:
    if not any((root / place).exists() for place in row.places):
        raise FileNotFoundError(
            f"{name} is not in {root.absolute()}: expected {', '.join(row.places)} there. Pass "
            f"download=True (--download), or get it from {row.page}"
        )
    try:
        for file, md5 in row.checksums().items():
            if not check_integrity(root / file, md5):
                raise ValueError(f"{file} is missing or does not have the MD5 {md5}")
        opened = {split: row.dataset(root, **given) for split, given in row.splits.items()}
        parts = {split: _part(split, dataset, root) for split, dataset in opened.items()}
        classes = row.classes or tuple(opened["train"].classes)
        for split, dataset in opened.items():
            if not row.classes and tuple(dataset.classes) != classes:
                raise ValueError(f"the classes of {split} are not those of train")
            if not 0 <= parts[split].labels.min() <= parts[split].labels.max() < len(classes):
                raise ValueError(f"{split} has labels beyond the {len(classes)} classes")
    except MemoryError:
        raise
    except Exception as error:  # torchvision, pickle, scipy and bz2 each raise their own
        reason = " ".join((str(error) or type(error).__name__).split())
        raise ValueError(
            f"{name} in {root.absolute()} is damaged, or half of a download: {reason}. Pass "
            f"download=True (--download) to get it again, or get it from "
            f"{row.page} and put it in {', '.join(row.places)} there"
        ) from error
    return RawData(classes, parts)


def _part(split: str, dataset: Any, root: Path) -> Part:
    """The dataset's images as files where it has files, else as arrays."""
    if not hasattr(dataset, "_image_files"):  # its loader= would do, from torchvision 0.21
        pairs = [dataset[index] for index in range(len(dataset))]
        items: list[Item] = [np.asarray(image) for image, _ in pairs]
        labels = [label for _, label in pairs]
        names = tuple(f"{split}/{index}" for index in range(len(pairs)))
        return Part(items, np.asarray(labels, dtype=np.int64), names)
    files = [Path(file) for file in dataset._image_files]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ValueError(
            f"{len(missing)} of {len(files)} images of {split} are missing, such as "
            f"{', '.join(missing[:3])}"
        )
    names = tuple(file.relative_to(root).as_posix() for file in files)
    return Part(files, np.asarray(dataset._labels, dtype=np.int64), names)
