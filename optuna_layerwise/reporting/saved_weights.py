"""The weights that finalizing a study has saved, and no other file that a database may name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open


def saved_weights(saved: Mapping[str, str]) -> Path | None:
    """The file, if it is a network that this package saved, and has not changed since.

    Whoever may write to the database may name any file, with its digest; one that is no network
    with its plan is neither copied nor shown.

    Args:
        saved: ``path`` and ``sha256``, as `Final.weights`.
    """
    path = Path(saved.get("path", ""))
    try:
        if not path.is_file():
            return None
        with safe_open(path, framework="numpy") as file:
            known = "policy" in (file.metadata() or {})
        same = hashlib.sha256(path.read_bytes()).hexdigest() == saved.get("sha256")
    except (OSError, ValueError, SafetensorError):
        return None
    return path if known and same else None
