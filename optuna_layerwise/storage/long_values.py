"""Values that do not fit into one row: stored in parts, which are read back, joined and verified.

MySQL and MariaDB hold 65,535 bytes in a row. A longer value becomes system attributes of its
study or trial, whose names have its digest, so that two values never mix; what is stored in its
place is a head with their number, their length and that digest. The head is written last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from optuna_layerwise.io.plain import decoded

ROW_BYTES = 60_000
"""Of one attribute as JSON, at most."""
PART_KEY = "olw:part:"
"""System attribute; the digest of the value and the number of the part follow."""
_PART_CHARACTERS = 29_000  # of JSON, of which at most each one is escaped once more
_HEAD = {"parts", "length", "sha256"}


class IncompleteValueError(ValueError):
    """A value that was stored in parts is not what was written."""


def split(value: Any) -> tuple[Any, dict[str, str]]:
    """What is stored in the place of a value, and its parts; a value that fits is itself."""
    text = json.dumps(value)
    if len(text) <= ROW_BYTES:
        return value, {}
    digest = hashlib.sha256(text.encode()).hexdigest()
    pieces = [text[i : i + _PART_CHARACTERS] for i in range(0, len(text), _PART_CHARACTERS)]
    head = {"parts": len(pieces), "length": len(text), "sha256": digest}
    return head, {_name(digest, i): piece for i, piece in enumerate(pieces)}


def split_all(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """As `split`, of each of some attributes."""
    short, pieces = {}, dict[str, str]()
    for key, value in attributes.items():
        short[key], own = split(value)
        pieces |= own
    return short, pieces


def is_head(value: Any) -> bool:
    """Whether this stands for a value that is stored in parts."""
    return isinstance(value, dict) and set(value) == _HEAD


def joined(head: Mapping[str, Any], attributes: Mapping[str, Any]) -> Any:
    """The value that a head stands for.

    Args:
        head: As `split` gave it.
        attributes: The system attributes of its study or trial.

    Raises:
        IncompleteValueError: if the parts are not those that were written.
    """
    digest, count = head["sha256"], head["parts"]
    if not (isinstance(digest, str) and isinstance(count, int) and 0 < count < 100_000):
        raise IncompleteValueError("what names its parts is damaged")
    pieces = [attributes.get(_name(digest, i)) for i in range(count)]
    if missing := [i for i, piece in enumerate(pieces) if not isinstance(piece, str)]:
        raise IncompleteValueError(f"part {missing[0]} of its {count} parts is missing")
    text = "".join(map(str, pieces))
    if len(text) != head["length"] or hashlib.sha256(text.encode()).hexdigest() != digest:
        raise IncompleteValueError("its parts are not what was written")
    try:
        return decoded(text)
    except ValueError as error:
        raise IncompleteValueError(str(error)) from None


def whole(value: Any, attributes: Mapping[str, Any]) -> Any:
    """A stored value, or the one that it stands for; see `joined`."""
    return joined(value, attributes) if is_head(value) else value


def _name(digest: str, number: int) -> str:
    return f"{PART_KEY}{digest[:16]}:{number}"
