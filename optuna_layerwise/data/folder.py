"""Folders of images: one pool of class folders, or such a pool each in train, val and test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from optuna_layerwise.data.formats import has_image_suffix, is_image
from optuna_layerwise.data.labels import alike, said
from optuna_layerwise.data.notices import notice
from optuna_layerwise.data.raw import Part, RawData

SPLIT_NAMES = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "development"),
    "test": ("test", "testing", "tst"),
}
"""What folders and cells of a split column may be called; also with set, split, data or images.

``eval`` is none of them: to some it is validation, to others the test."""
JUNK_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")
JUNK_FOLDERS = (
    *("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"),
    "__pycache__",
)
"""Files and folders that programs leave behind, in lower case."""

_MASK = re.compile(r"(.+)_mask(_\d+)?")


def split_named(text: str) -> str | None:
    """The split that a name such as ``Training`` or ``test_set`` stands for, if any."""
    plain = re.sub(r"[\W_]", "", text).lower()
    plain = re.sub(r"(?<=.)(set|split|data|images)$", "", plain)
    return next((split for split, names in SPLIT_NAMES.items() if plain in names), None)


def read_folder(root: Path) -> RawData:
    """List ``root``; classes and images are in the order of their names.

    Hidden files are ignored; files that are no images, by suffix and content, are left out with
    one warning a class, and so are empty class folders, and masks as BUSI has them beside its
    images (``x_mask.png`` and ``x_mask_1.png`` beside ``x.png``), with one warning each.

    Raises:
        ValueError: if it does not hold at least two classes with images in each.
    """
    folders = _folders(root)
    named = {name: split_named(name) for name in folders}
    others = [name for name, split in named.items() if split is None]
    if "train" in named.values() and not others:
        splits = {split: folders[name] for name, split in named.items() if split}
        if len(splits) < len(folders):
            twice = next(s for s in splits if list(named.values()).count(s) > 1)
            raise ValueError(f"{root} has two folders for {twice}, got {list(folders)}; keep one")
        _tell_of_loose(root)
    else:
        splits = {"pool": root}
    for name, split in named.items():
        if split == "train" and "pool" in splits and _folders(folders[name]):
            raise ValueError(
                f"{root} has a folder of training images, {name!r}, beside {others}, which are "
                "neither validation nor test; move them out of it, or rename them"
            )
    classes = {split: _classes(folder, split) for split, folder in splits.items()}
    expected = classes.get("train", classes.get("pool", ()))
    for split, found in classes.items():
        if different := sorted(set(found).symmetric_difference(expected)):
            written = [said(together) for together in alike(different)]
            raise ValueError(
                f"the class folders of {splits['train']} and {splits[split]} must be the same, "
                f"only one of the two has {different}"
                + (f"; rename one of {'; '.join(written)}" if written else "")
            )
    masks: list[Path] = []
    images = {
        split: {name: _images(folder / name, masks) for name in expected}
        for split, folder in splits.items()
    }
    expected = _with_images(root, images)
    parts = {split: _part(root, found, expected) for split, found in images.items()}
    if masks:
        notice(
            f"{len(masks)} files of {root} are left out as masks of the images beside them, such "
            f"as {masks[0].relative_to(root)}",
        )
    return RawData(expected, parts)


def _folders(root: Path) -> dict[str, Path]:
    return {
        path.name: path
        for path in sorted(root.iterdir())
        if path.is_dir()
        and not path.name.startswith(".")
        and path.name.lower() not in JUNK_FOLDERS
    }


def _classes(root: Path, split: str) -> tuple[str, ...]:
    folders = _folders(root)
    if len(folders) < 2:
        inner = [folder for folder in folders.values() if len(_folders(folder)) > 1]
        raise ValueError(
            f"expected at least two class folders in {root}, got {list(folders) or 'none'}; "
            + (
                f"there are some in {inner[0]}: pass that"
                if inner
                else "put the images of each class in a folder of its own"
            )
            + (
                "; or move this one away, and training images are set aside instead"
                if split in ("val", "test")
                else ""
            )
        )
    _tell_of_loose(root)
    return tuple(folders)


def _tell_of_loose(root: Path) -> None:
    """Say what lies beside the folders of ``root`` and looks as if it should be in one."""
    visible = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    if images := [path for path in visible if has_image_suffix(path) and path.is_file()]:
        notice(
            f"{len(images)} images lie in {root} itself, in no class folder, and are left out, "
            f"such as {images[0].name}"
        )
    if broken := [path.name for path in visible if path.is_symlink() and not path.exists()]:
        notice(f"these links in {root} lead nowhere and make no class: {', '.join(broken)}")


def _with_images(root: Path, images: Mapping[str, Mapping[str, list[Path]]]) -> tuple[str, ...]:
    """The classes that have images, at least to train on; says which folders are empty."""
    first = images.get("train", images.get("pool", {}))
    hollow = [name for name in first if not any(found[name] for found in images.values())]
    classes = tuple(name for name in first if name not in hollow)
    if len(classes) < 2:
        raise ValueError(
            f"expected at least two class folders with images in {root}, got {list(classes)} and "
            f"the empty {hollow}; put the images of each class in a folder of its own"
        )
    if hollow:
        notice(f"these class folders of {root} are empty and make no class: {', '.join(hollow)}")
    if empty := [name for name in classes if not first[name]]:
        raise ValueError(
            f"{root} has no image to train on of the classes {empty}, and has some in "
            "other splits; add images, or remove these folders from all splits"
        )
    return classes


def _part(root: Path, images: Mapping[str, list[Path]], classes: tuple[str, ...]) -> Part:
    files = [file for name in classes for file in images[name]]
    labels = [label for label, name in enumerate(classes) for _ in images[name]]
    names = tuple(file.relative_to(root).as_posix() for file in files)
    return Part(files, np.asarray(labels, dtype=np.int64), names)


def _images(folder: Path, masks: list[Path]) -> list[Path]:
    """The images of a class, none if it is empty; adds the masks of them to ``masks``."""
    if nested := list(_folders(folder)):
        raise ValueError(f"the class folder {folder} must hold images only, got folders {nested}")
    images = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and path.name.lower() not in JUNK_FILES
        and not path.is_dir()  # one that a program left behind
    ]
    others = [path for path in images if not is_image(path)]
    if others and len(others) < len(images):
        notice(
            f"{len(others)} files of the class {folder.name!r} are no images and are left out, "
            f"such as {others[0].name}"
        )
    if others and len(others) == len(images):
        raise ValueError(
            f"the class folder {folder} has no image, only files such as {others[0].name}; "
            "expected images that Pillow decodes, such as .jpg, .png or .tif, or remove the folder"
        )
    images = [path for path in images if path not in set(others)]
    stems = {path.stem for path in images}
    found = {path for path in images if (mask := _MASK.fullmatch(path.stem)) and mask[1] in stems}
    masks += sorted(found)
    return [path for path in images if path not in found]
