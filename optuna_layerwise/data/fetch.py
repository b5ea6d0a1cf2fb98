"""Download one of torchvision's data sets, all of it or nothing.

Torchvision itself leaves a truncated file in its final place, takes a broken ``usps.bz2`` on the
next start, and an ``fgvc-aircraft-2013b`` or ``dtd`` folder that was half extracted. So it works
in a folder of its own here, whose content moves to its place when the whole set has been read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from optuna_layerwise.data.store import FULL


def fetch(
    name: str,
    dataset: Callable[..., Any],
    splits: Iterable[Mapping[str, Any]],
    root: Path,
    *,
    archives: Iterable[str],
    reuse: Iterable[str],
    page: str,
) -> None:
    """Let torchvision download, check and unpack a data set, then put it below ``root``.

    Args:
        name: Of the data set, for messages.
        dataset: Torchvision's class.
        splits: Its arguments for each split.
        root: Torchvision's root folder.
        archives: What it downloads, relative to the root.
        reuse: Those that need no download if they lie in their place with torchvision's checksum.
        page: Where else to get them.

    Raises:
        ConnectionError: if a part cannot be downloaded, or is not what it should be.
        OSError: if no space is left. In both cases nothing half done stays.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=root) as temporary:
            unfinished = Path(temporary)
            for archive in reuse:
                (unfinished / archive).parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(OSError):  # not there, or no links here: download it
                    os.link(root / archive, unfinished / archive)
            for arguments in splits:
                dataset(unfinished, **arguments, download=True)
            _move(unfinished, root)
    except Exception as error:  # urllib, tarfile, zlib and torchvision each raise their own
        if isinstance(error, OSError) and error.errno in FULL:
            raise OSError(
                error.errno,
                f"no space left in {root.absolute()} for {name}: "
                f"{shutil.disk_usage(root).free / 1e6:.0f} MB are free; what was downloaded and "
                "unpacked is removed. Free some, or choose another root (--data-root)",
            ) from error
        reason = " ".join((str(error) or type(error).__name__).split())
        raise ConnectionError(
            f"cannot download {name} into {root.absolute()} ({reason}); nothing of it is kept. "
            f"Try again, or get the files from {page}, put them in {', '.join(archives)} there "
            "(a damaged one in these places is to be deleted) and pass download=True (--download) "
            "to check and unpack them"
        ) from error


def _move(source: Path, target: Path) -> None:
    """Move what is in ``source`` into ``target``, over files and into folders that are there."""
    for path in source.iterdir():
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _move(path, place)
        else:
            os.replace(path, place)
