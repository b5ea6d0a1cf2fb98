"""Where networks' weights and data sets lie, and what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torchvision.models import get_model_weights

from benchmarks.protocols.experiments import DIGITS, DIGITS_CNN, MOBILENET, RESNET20
from optuna_layerwise.data.published import PUBLISHED
from optuna_layerwise.data.skin import SKIN
from optuna_layerwise.models import ModelSpec
from optuna_layerwise.recipe import Granularity
from optuna_layerwise.training.pretrained_digits import SPEC, pretrained_digits

FOLDERS = {
    "busi": ("busi",),
    "citrus": ("citrus",),
    "dtd10": ("dtd10",),
    "ham_bal": ("ham_bal",),
    "leaves": ("leaves", "citrus"),
    "rsmas": ("rsmas",),
    "srsmas": ("srsmas",),
}
"""Data set to folders of class folders below the root, of which the first one counts."""
SOURCES = {
    "busi": "Al-Dhabyani et al. 2020, Dataset of breast ultrasound images",
    "citrus": "Rauf et al. 2019, A citrus fruits and leaves dataset",
    "dtd10": "Cimpoi et al. 2014, Describable textures, the first 10 classes",
    "ham_bal": "Tschandl et al. 2018, HAM10000, one image a lesion and at most 220 a class",
    "leaves": "Rauf et al. 2019, A citrus fruits and leaves dataset",
    "rsmas": "Gomez-Rios et al. 2019, RSMAS",
    "srsmas": "Gomez-Rios et al. 2019, StructureRSMAS",
}
"""Data set to who published it."""
_FILES = {
    MOBILENET: "mobilenet_v2_w035_imagenet_notop.pth",
    RESNET20: "resnet20-12fca82f.th",
}
_ORIGINS = {
    MOBILENET: "Keras's ImageNet weights as torchvision's mobilenet_v2(width_mult=0.35) has them",
    RESNET20: "https://github.com/akamaster/pytorch_resnet_cifar10",
}
_BEST = {"resnet50": "IMAGENET1K_V2"}
"""Published weights where a paper's are not the first ones."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Places:
    """Where cells find what they need, and how they compute.

    Args:
        data_root: Folder of the data sets, with a folder ``weights``.
        storage: URL of the database with a study for every cell.
        results: Folder of the files.
        download: What is missing, if it can be had from torchvision.
        device: See `Trainer`.
        compute: Fields of `Compute`.
        threads: Of torch on the CPU, for each process.
    """

    data_root: Path
    storage: str
    results: Path
    download: bool = False
    device: str = "auto"
    compute: dict[str, Any] = dataclasses.field(default_factory=dict)
    threads: int = 1

    def limit_threads(self) -> None:
        """Of this process."""
        torch.set_num_threads(self.threads)


def source_of(name: str, root: Path, *, download: bool = False) -> str | Path:
    """What `load_data` takes for a data set.

    Raises:
        FileNotFoundError: if it is not there; the message has where it is expected.
    """
    if name == DIGITS:
        return name
    if name in FOLDERS:
        places = [root / folder for folder in FOLDERS[name]]
    else:
        archive = root / f"{name}.npz"
        if archive.is_file():
            return archive
        named = PUBLISHED[name].places if name in PUBLISHED else SKIN[name].files
        places = [root / place for place in named]
        if any(place.exists() for place in places) or (download and name in PUBLISHED):
            return name
    for place in places:
        if place.is_dir() and name in FOLDERS:
            return place
    asked = " or ".join(map(str, places))
    raise FileNotFoundError(f"data set {name}: expected {asked}; it is from {_origin(name)}")


def network(
    name: str, *, root: Path, image_size: int, granularity: Granularity, download: bool = False
) -> ModelSpec:
    """A network with its weights, by the name that declarations give it.

    Raises:
        FileNotFoundError: if its weights are not there; the message has where they are expected.
    """
    if name == DIGITS_CNN:
        return ModelSpec(
            name=SPEC.name,
            weights=pretrained_digits(),
            image_size=image_size,
            granularity=granularity,
        )
    if name in _FILES:
        half, imagenet = (0.5, 0.5, 0.5), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        mean, std = (half, half) if name == MOBILENET else imagenet
        return ModelSpec(
            name="mobilenet_v2" if name == MOBILENET else "resnet20",
            args={"width_mult": 0.35} if name == MOBILENET else {},
            weights=_existing(name, [root / "weights" / _FILES[name]], _ORIGINS[name]),
            mean=mean,
            std=std,
            image_size=image_size,
            granularity=granularity,
        )
    published = _BEST.get(name, "IMAGENET1K_V1")
    if not download:
        url = get_model_weights(name)[published].url
        file = url.rpartition("/")[2]
        cached = Path(torch.hub.get_dir()) / "checkpoints" / file
        published = str(_existing(name, [root / "weights" / file, cached], url))
    return ModelSpec(name=name, weights=published, image_size=image_size, granularity=granularity)


def _existing(network: str, places: Sequence[Path], origin: str) -> Path:
    """The first of them that is there."""
    for place in places:
        if place.is_file():
            return place
    asked = " or ".join(map(str, places))
    raise FileNotFoundError(f"weights of {network}: expected {asked}; they are from {origin}")


def _origin(name: str) -> str:
    if name in SOURCES:
        return SOURCES[name]
    return PUBLISHED[name].page if name in PUBLISHED else SKIN[name].page
