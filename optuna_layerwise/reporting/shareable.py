"""Settings for files that go to others: without the folders of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

_LIBRARY = re.compile(r"((?:timm|transformers)/)?(.*)", re.DOTALL)
"""A model of a library may be a folder, too."""


def shareable(value: Any) -> Any:
    """The same with absolute paths, also within mappings and lists, cut to their last part.

    Examples:
        >>> shareable({"model": "transformers//home/me/vit", "size": 8})
        {'model': 'transformers/vit', 'size': 8}
    """
    if isinstance(value, Mapping):
        return {key: shareable(of) for key, of in value.items()}
    if isinstance(value, (list, tuple)):
        return [shareable(of) for of in value]
    match = _LIBRARY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    library, path = match[1] or "", match[2]
    if re.match(r"[A-Za-z]:[\\/]", path):
        return library + PureWindowsPath(path).name
    return library + PurePosixPath(path).name if path.startswith(("/", "~")) else value
