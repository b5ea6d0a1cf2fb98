"""What a data set can be loaded from.

A new kind of source is a function that returns `RawData` and one row of ``SOURCES``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from optuna_layerwise.data.digits import read_digits
from optuna_layerwise.data.folder import read_folder
from optuna_layerwise.data.names import GROUP_RULE
from optuna_layerwise.data.npz import read_npz
from optuna_layerwise.data.present import ARCHIVES, TABLES, check_present
from optuna_layerwise.data.published import PUBLISHED, read_published
from optuna_layerwise.data.raw import RawData
from optuna_layerwise.data.skin import SKIN, read_skin
from optuna_layerwise.data.table import read_table

Source: TypeAlias = "str | os.PathLike[str]"

_DEFAULTS: dict[str, Any] = {
    "root": None,
    "download": False,
    "columns": None,
    "image_root": (),
    "group_by": "auto",
    "task": "classification",
}


@dataclass(frozen=True)
class SourceKind:
    """A kind of source: does it serve this one, how to read it, and which options that takes."""

    serves: Callable[[Source], bool]
    read: Callable[..., RawData]
    options: tuple[str, ...] = ()


SOURCES: dict[str, SourceKind] = {
    "a folder": SourceKind(lambda source: True, lambda source: read_folder(Path(source))),
    "the digits": SourceKind(
        lambda source: source == "digits", lambda source, seed: read_digits(seed), ("seed",)
    ),
    "a data set of torchvision": SourceKind(
        lambda source: source in PUBLISHED, read_published, ("root", "download")
    ),
    "a skin data set": SourceKind(lambda source: source in SKIN, read_skin, ("root", "group_by")),
    "an archive": SourceKind(
        lambda source: _suffix(source) in ARCHIVES, lambda source: read_npz(Path(source))
    ),
    "a table": SourceKind(
        lambda source: _suffix(source) in TABLES,
        lambda source, **options: read_table(Path(source), **options),
        ("columns", "image_root", "group_by", "group_rule", "task"),
    ),
}
"""Kind of source to how it is recognised and read; of several that serve a source the last one."""
_PATHS = ("a folder", "an archive", "a table")


def takes(source: Source, option: str) -> bool:
    """Whether a source has an option of `load_data`."""
    return option in SOURCES[_kind_of(source)].options


def read_source(
    source: Source, *, seed: int, group_rule: int = GROUP_RULE, **options: Any
) -> RawData:
    """Read a source with those of the options of `load_data` that it takes.

    Raises:
        FileNotFoundError: if the source does not exist.
        OSError: if it cannot be downloaded.
        ValueError: if the source is not as expected, or an option is given that it does not take.
    """
    kind = _kind_of(source)
    row = SOURCES[kind]
    if kind in _PATHS:
        check_present(source)
    if options["group_by"] is None and "group_by" not in row.options:
        del options["group_by"]
    for option, value in options.items():
        if value != _DEFAULTS[option] and option not in row.options:
            takers = [name for name, other in SOURCES.items() if option in other.options]
            shown = value if isinstance(value, bool) else str(value)
            raise ValueError(
                f"{option}={shown!r} is an option of {' and '.join(takers)}, and "
                f"{os.fspath(source)!r} is {kind}; leave it out"
            )
    given = {**_DEFAULTS, "seed": seed, "group_rule": group_rule, **options}
    return row.read(source, **{option: given[option] for option in row.options})


def _kind_of(source: Source) -> str:
    return next(kind for kind in reversed(SOURCES) if SOURCES[kind].serves(source))


def _suffix(source: Source) -> str:
    return Path(source).suffix.lower()
