"""Where the images of a table lie, whose cells are paths, file names, or ids without a suffix."""

from __future__ import annotations

import functools
import ntpath
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from optuna_layerwise.data.formats import has_image_suffix

Locate = Callable[[str], Sequence[Path]]
"""The files that a cell may mean: one, none, or several."""


def plain_path(cell: str) -> str:
    """A cell's path in one way of writing: with slashes and without detours."""
    return os.path.normpath(cell.replace("\\", "/")).replace(os.sep, "/")


def by_stem(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """File name without suffix to the images of that name, in the order of their paths."""
    found: dict[str, list[Path]] = {}
    for path in sorted(paths):
        if has_image_suffix(path):
            found.setdefault(_composed(path.stem), []).append(path)
    return found


def locator(folder: Path, roots: Sequence[Path]) -> Locate:
    """How to find the images of a table in ``folder``.

    A cell is a path from ``folder`` or from one of the ``roots``; or an image there whose suffix
    it leaves out; or the end of the path of an image anywhere below one of the roots.

    Raises:
        FileNotFoundError: if there is no such root.
    """
    for root in roots:
        if not root.is_dir():
            raise FileNotFoundError(
                f"no such folder of images: {str(root)!r} (looked for {root.absolute()}); "
                "correct image_root (--image-root)"
            )

    @functools.cache
    def beside(directory: Path) -> dict[str, list[Path]]:
        return by_stem(directory.iterdir()) if directory.is_dir() else {}

    @functools.cache
    def below() -> dict[str, list[Path]]:
        return by_stem({path for root in roots for path in root.rglob("*")})

    def locate(cell: str) -> Sequence[Path]:
        path = PurePosixPath(plain_path(cell))
        if (exact := folder / cell).is_file() or (exact := folder / path).is_file():
            return [exact]
        if near := _matches(path, beside(folder / path.parent)):
            return near
        return [root / path for root in roots if (root / path).is_file()] or (
            _matches(path, below()) if roots else []
        )

    return locate


def why_missing(cell: str) -> str:
    """What to do about an image that is not where its cell says."""
    if "://" in cell:
        return "These are addresses: download the images, and write their file names"
    if cell.startswith(("/", "~")) or ntpath.splitdrive(cell)[0]:
        return (
            "These paths are of another place: write them as they are from the table's folder, "
            "or from a folder that image_root (--image-root) names"
        )
    return (
        "Put them there, remove their rows, or name the folders of the images: image_root "
        "(--image-root)"
    )


def _matches(path: PurePosixPath, found: Mapping[str, Sequence[Path]]) -> list[Path]:
    name, parents = _composed(path.name), path.parent.parts
    key = _composed(path.stem) if has_image_suffix(Path(path)) else name
    return [
        file
        for file in found.get(key, ())
        if name in (key, _composed(file.name))
        and (not parents or file.parent.parts[-len(parents) :] == parents)
    ]


def _composed(name: str) -> str:
    """The same in one Unicode form: archives of another system may have the other one."""
    return unicodedata.normalize("NFC", name)
