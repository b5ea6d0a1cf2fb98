"""Torchvision's data sets in miniature: the files that it downloads, in each set's own format.

Only the checksums and addresses of torchvision are replaced by the miniatures' own.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

Truth = dict[str, tuple[np.ndarray, np.ndarray]]
"""Official split to its pixels [N, H, W, 3] and labels [N]."""


@dataclass(frozen=True)
class Miniature:
    archives: dict[str, bytes]  # place below torchvision's root to content
    truth: Truth
    side: int
    classes: tuple[str, ...]
    patch: Callable[[pytest.MonkeyPatch, str], None]  # given the address of a server of archives


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def noise(n: int, side: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (n, side, side, channels)[: 4 if channels > 1 else 3]
    return np.random.default_rng(seed + n).integers(0, 256, shape, dtype=np.uint8)


def coloured(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def jpeg(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
    """A file, and the pixels that it holds after the loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue(), np.asarray(Image.open(buffer))


def mat(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, arrays)
    return buffer.getvalue()


def mnist() -> Miniature:
    truth, files = {}, {}
    for split, stem, n in (("train", "train", 30), ("test", "t10k", 10)):
        pixels, labels = noise(n, 28, 1), np.arange(n) % 10
        truth[split] = coloured(pixels), labels
        images = struct.pack(">IIII", 0x803, n, 28, 28) + pixels.tobytes()
        files[f"{stem}-images-idx3-ubyte.gz"] = gzip.compress(images)
        digits = struct.pack(">II", 0x801, n) + labels.astype(np.uint8).tobytes()
        files[f"{stem}-labels-idx1-ubyte.gz"] = gzip.compress(digits)

    def patch(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        known = [(name, md5(content)) for name, content in files.items()]
        monkeypatch.setattr(datasets.MNIST, "resources", known)
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{address}MNIST/raw/"])

    archives = {f"MNIST/raw/{name}": content for name, content in files.items()}
    return Miniature(archives, truth, 28, tuple("0123456789"), patch)


def usps() -> Miniature:
    truth, files = {}, {}
    for split, name, n in (("train", "usps.bz2", 30), ("test", "usps.t.bz2", 10)):
        pixels, labels = noise(n, 16, 1), np.arange(n) % 10
        truth[split] = coloured(pixels), labels
        values = (pixels.reshape(n, -1) + 0.5) / 255 * 2 - 1  # torchvision rounds down
        lines = [
            f"{label + 1} " + " ".join(f"{i}:{value:.6f}" for i, value in enumerate(row, 1))
            for label, row in zip(labels, values, strict=True)
        ]
        files[name] = bz2.compress("\n".join([*lines, ""]).encode())

    def patch(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        known = {
            split: [address + name, name, md5(files[name])]
            for split, name in (("train", "usps.bz2"), ("test", "usps.t.bz2"))
        }
        monkeypatch.setattr(datasets.USPS, "split_list", known)

    return Miniature(files, truth, 16, tuple("0123456789"), patch)


def svhn() -> Miniature:
    truth, files = {}, {}
    for split, n in (("train", 30), ("test", 10)):
        pixels, labels = noise(n, 32), np.arange(n) % 10
        truth[split] = pixels, labels
        y = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]  # 10 stands for 0
        files[f"{split}_32x32.mat"] = mat(X=pixels.transpose(1, 2, 3, 0), y=y)

    def patch(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        known = {
            name.split("_")[0]: [address + name, name, md5(content)]
            for name, content in files.items()
        }
        monkeypatch.setattr(datasets.SVHN, "split_list", known)

    return Miniature(files, truth, 32, tuple("0123456789"), patch)


def cifar10() -> Miniature:
    names = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    batches = {f"data_batch_{i}": noise(10, 32, seed=i) for i in range(1, 6)}
    batches["test_batch"] = noise(10, 32, seed=6)
    labels = np.random.default_rng(0).permutation(10)
    files = {
        name: pickle.dumps(
            {"data": pixels.transpose(0, 3, 1, 2).reshape(10, -1), "labels": labels.tolist()}, 2
        )
        for name, pixels in batches.items()
    }
    files["batches.meta"] = pickle.dumps({"label_names": names}, 2)
    *train, test = batches.values()
    truth = {"train": (np.concatenate(train), np.tile(labels, 5)), "test": (test, labels)}
    archive = tar({f"cifar-10-batches-py/{name}": content for name, content in files.items()})

    def patch(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        known = [[name, md5(content)] for name, content in files.items()]
        monkeypatch.setattr(datasets.CIFAR10, "train_list", known[:5])
        monkeypatch.setattr(datasets.CIFAR10, "test_list", known[5:6])
        meta = {**datasets.CIFAR10.meta, "md5": md5(files["batches.meta"])}
        monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
        monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
        monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}cifar-10-python.tar.gz")

    return Miniature({"cifar-10-python.tar.gz": archive}, truth, 32, tuple(names), patch)


def stl10() -> Miniature:
    names = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    truth, files = {}, {}
    for split, n in (("train", 30), ("test", 10)):
        pixels, labels = noise(n, 96), np.arange(n) % 10
        truth[split] = pixels, labels
        files[f"{split}_X.bin"] = pixels.transpose(0, 3, 2, 1).tobytes()  # columns first
        files[f"{split}_y.bin"] = (labels + 1).astype(np.uint8).tobytes()
    files["unlabeled_X.bin"] = noise(2, 96).tobytes()
    others = {"class_names.txt": "\n".join([*names, ""]).encode(), "fold_indices.txt": b"0 1\n"}
    archive = tar({f"stl10_binary/{name}": text for name, text in (files | others).items()})

    def patch(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        for table in ("train_list", "test_list"):
            known = [[name, md5(files[name])] for name, _ in getattr(datasets.STL10, table)]
            monkeypatch.setattr(datasets.STL10, table, known)
        monkeypatch.setattr(datasets.STL10, "tgz_md5", md5(archive))
        monkeypatch.setattr(datasets.STL10, "url", f"{address}stl10_binary.tar.gz")

    return Miniature({"stl10_binary.tar.gz": archive}, truth, 96, tuple(names), patch)


def flowers102() -> Miniature:
    splits = {"train": "trnid", "val": "valid", "test": "tstid"}
    n = 3 * 102
    labels = np.random.default_rng(0).permutation(np.tile(np.arange(102), 3))
    order = np.argsort(labels, kind="stable").reshape(102, 3)  # one of each class a split
    photos, stored = {}, []
    for index, pixels in enumerate(noise(n, 24)):
        photos[f"jpg/image_{index + 1:05d}.jpg"], kept = jpeg(pixels)
        stored.append(kept)
    ids = {split: np.sort(order[:, place]) for place, split in enumerate(splits)}
    truth = {split: (np.stack(stored)[rows], labels[rows]) for split, rows in ids.items()}
    files = {
        "102flowers.tgz": tar(photos),
        "imagelabels.mat": mat(labels=(labels + 1)[None].astype(np.uint8)),
        "setid.mat": mat(**{key: (ids[split] + 1)[None] for split, key in splits.items()}),
    }

    def patch(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        kinds = ("image", "label", "setid")
        known = {
            kind: (name, md5(content))
            for kind, (name, content) in zip(kinds, files.items(), strict=True)
        }
        monkeypatch.setattr(datasets.Flowers102, "_file_dict", known)
        monkeypatch.setattr(datasets.Flowers102, "_download_url_prefix", f"{address}flowers-102/")

    archives = {f"flowers-102/{name}": content for name, content in files.items()}
    return Miniature(archives, truth, 24, tuple(map(str, range(1, 103))), patch)


def fgvc_aircraft() -> Miniature:
    names, base = ("707-320", "A340-300", "Cessna 172"), "fgvc-aircraft-2013b/data"
    files = {f"{base}/variants.txt": "\n".join([*names, ""]).encode()}
    truth = {}
    for place, split in enumerate(("train", "val", "test")):
        labels, stored, lines = np.arange(9) % 3, [], []
        for index, pixels in enumerate(noise(9, 20, seed=place)):
            number = f"{place}{index:06d}"
            files[f"{base}/images/{number}.jpg"], kept = jpeg(pixels)
            stored.append(kept)
            lines.append(f"{number} {names[labels[index]]}")
        files[f"{base}/images_variant_{split}.txt"] = "\n".join([*lines, ""]).encode()
        truth[split] = np.stack(stored), labels
    archive = tar(files)

    def patch(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        monkeypatch.setattr(datasets.FGVCAircraft, "_URL", f"{address}fgvc-aircraft-2013b.tar.gz")

    return Miniature({"fgvc-aircraft-2013b.tar.gz": archive}, truth, 20, names, patch)


def dtd() -> Miniature:
    names = ("banded", "blotchy", "braided")
    files, truth = {}, {}
    for place, split in enumerate(("train", "val", "test")):
        labels, stored, lines = np.repeat(np.arange(3), 4), [], []
        for index, pixels in enumerate(noise(12, 20, seed=place)):
            name = f"{names[labels[index]]}/{names[labels[index]]}_{place}{index:03d}.jpg"
            files[f"dtd/images/{name}"], kept = jpeg(pixels)
            stored.append(kept)
            lines.append(name)
        files[f"dtd/labels/{split}1.txt"] = "\n".join([*lines, ""]).encode()
        files[f"dtd/labels/{split}2.txt"] = "\n".join([*lines[:6], ""]).encode()  # another split
        truth[split] = np.stack(stored), labels
    archive = tar(files)

    def patch(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        monkeypatch.setattr(datasets.DTD, "_MD5", md5(archive))
        monkeypatch.setattr(datasets.DTD, "_URL", f"{address}dtd/dtd-r1.0.1.tar.gz")

    return Miniature({"dtd/dtd-r1.0.1.tar.gz": archive}, truth, 20, names, patch)


MINIATURES: dict[str, Callable[[], Miniature]] = {
    "mnist": mnist,
    "usps": usps,
    "svhn": svhn,
    "cifar10": cifar10,
    "stl10": stl10,
    "flowers102": flowers102,
    "fgvc_aircraft": fgvc_aircraft,
    "dtd": dtd,
}
