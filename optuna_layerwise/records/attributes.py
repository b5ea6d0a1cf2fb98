"""Reading what a database holds: validated, never executed, and refused with its place.

Whoever may write to a study's database may write anything there. An attribute is JSON; it is
compared with the types of a dataclass, and its version with the one that this package writes.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from optuna_layerwise.io.plain import shortened

T = TypeVar("T")
VERSION_FIELD = "v"


class UnreadableAttribute(ValueError):
    """An attribute is corrupt, foreign or of a newer version; the message has study and key.

    Args:
        reason: What is wrong.
        key: Of the attribute.
        study: Name.
        trial: Number; ``None`` of an attribute of the study.
    """

    def __init__(self, reason: str, *, key: str, study: str, trial: int | None = None) -> None:
        of = f"study {study!r}" if trial is None else f"trial {trial} of study {study!r}"
        super().__init__(
            f"attribute {key!r} of {of} cannot be read: {reason}; `optuna-layerwise doctor` says "
            "what can be done"
        )
        self.reason = reason
        self.key = key


def read(
    kind: type[T], content: Any, *, version: int, key: str, study: str, trial: int | None = None
) -> T:
    """A stored attribute as the dataclass that it was.

    Fields that the class does not have are ignored, so that a later release may add some; it
    raises the version where older ones must not read what it wrote.

    Args:
        kind: A dataclass of plain types.
        content: What the database gave.
        version: That this package writes; content without one has the first.
        key: See `UnreadableAttribute`, as all others.
        study: Name.
        trial: Number.

    Raises:
        UnreadableAttribute: if it is not what ``kind`` describes.
    """
    if not isinstance(content, dict):
        reason = f"expected an object, got {type(content).__name__}"
    elif (theirs := content.get(VERSION_FIELD, 1)) != version:
        reason = f"it has version {theirs!r}, and this release reads version {version}"
    else:
        try:
            fields = {name: value for name, value in content.items() if name != VERSION_FIELD}
            adapter: TypeAdapter[T] = _adapter(cast(Any, kind))
            return adapter.validate_json(json.dumps(fields), strict=True)
        except (RecursionError, UnicodeEncodeError) as error:
            reason = f"it is no plain JSON ({type(error).__name__})"
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "content"
            reason = f"{where}: {first['msg']}, got {shortened(first['input'])}"
    raise UnreadableAttribute(reason, key=key, study=study, trial=trial)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
