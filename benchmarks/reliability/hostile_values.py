"""Everything that a database stores, and what somebody hostile may have written there."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import pkgutil
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.reliability.canaries import Canaries

MARKUP = "<img src=x onerror=canary()>"
"""Must never stand as it is in a page or a card."""
DIRTY = f"\x1b]0;x\x07\x1b[31m[/x][red]{MARKUP}<script>canary()</script>](x)|`\n# a\x9b1m"
CRAFTED = "crafted"
"""How the names of values begin that were made for one place."""
ATTRIBUTES = (
    *("study_user_attributes", "study_system_attributes"),
    *("trial_user_attributes", "trial_system_attributes"),
)
_FOREIGN = (
    *("artifacts:hostile", "cma:optimizer:0", "cma:generation", "constraints", "constraints:c"),
    *("fixed_params", "preference:values", "nsga2:generation", "failed_trial", "retry_history"),
)
"""Keys that Optuna and its dashboard read."""


class Place(NamedTuple):
    """Somewhere in a database.

    Attributes:
        table: Its name.
        key: Of an attribute; else empty.
        column: That is changed.
    """

    table: str
    key: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.key or self.column}"


def places(database: Path) -> list[Place]:
    """Every key that is stored or that the package knows, and every column of every table."""
    found: dict[Place, None] = {}
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for table in ATTRIBUTES:
            keys = [key for (key,) in connection.execute(f"SELECT DISTINCT key FROM {table}")]
            kinds = {re.sub(r"\d+|[0-9a-f-]{12,}", "N", key): key for key in keys}
            others = [*_known_keys(), *(_FOREIGN if "system" in table else ())]
            for key in [*kinds.values(), *(key for key in others if key not in keys)]:
                found[Place(table, key, "value_json")] = None
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for _, column, *_ in connection.execute(f"PRAGMA table_info({table})"):
                if not column.endswith("_id"):
                    found[Place(table, "", column)] = None
    return list(found)


def _known_keys() -> list[str]:
    """Constants of the package that are names of attributes."""
    import optuna_layerwise

    found = set()
    for module in pkgutil.walk_packages(optuna_layerwise.__path__, "optuna_layerwise."):
        if module.name.endswith("__main__"):
            continue
        with contextlib.suppress(ImportError):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, str) and re.fullmatch(r"olw:[\w:.-]+", value):
                    found.add(value)
    return sorted(found)


def values(place: Place, stored: str | None, canaries: Canaries) -> dict[str, str]:
    """What to write at a place: name to text, which is JSON, or nearly so, for attributes.

    Args:
        place: Where.
        stored: What is there, if anything; a key of the package that is nowhere stored in this
            table gets a few values only.
        canaries: Named in paths.
    """
    texts = _texts(canaries)
    if not place.key and not place.column.endswith("_json"):
        return {**texts, "infinite": "1e999", "huge": "9" * 400, "negative": "-1", "empty": ""}
    deep = {
        "10,000 lists": "[" * 10_000 + "]" * 10_000,
        "10,000 objects": '{"v":' * 10_000 + "1" + "}" * 10_000,
    }
    found = {name: json.dumps(text) for name, text in texts.items()} | deep
    if stored is None and place.key.startswith("olw:"):
        few = ("dirty", "secret's path", "10,000 lists", "other study")
        return {name: found[name] for name in few}
    artifact = {"artifact_id": "../../../outside/secret.txt", "filename": "../../x.html"}
    artifact |= {"mimetype": "text/html"}
    found |= {
        "lone surrogate": '"a\\ud800b"',
        "null": "null",
        "true": "true",
        "negative": "-1",
        "infinite": "Infinity",
        "NaN": "NaN",
        "5,000 digits": "1" * 5000,
        "1e308": "1e308",
        "empty text": '""',
        "empty list": "[]",
        "empty object": "{}",
        "newer": '{"v": 99, "version": 99}',
        "no JSON": '{"a": ',
        "long": json.dumps("x" * 1_000_000),
        f"{CRAFTED} pickle": json.dumps(canaries.pickle.hex()),
        f"{CRAFTED} artifact": json.dumps(json.dumps({**artifact, "encoding": None})),
    }
    with contextlib.suppress(ValueError):
        found |= dict(_changed(json.loads(stored or "null"), canaries))
    return found


def _texts(canaries: Canaries) -> dict[str, str]:
    return {
        "dirty": DIRTY,
        "NUL": "a\0b",
        "secret's path": str(canaries.secret),
        "way to the secret": "../../../outside/secret.txt",
        "way to the folder": "../../outside/victim",
        "password": "postgresql://user:hunter2@host/db?password=hunter2",
        "other study": "other",
        "quotes": "%' OR 1=1 -- \"; $(touch x)",
        "brackets": "a[/x]b[red]",
        "right to left": "leaves\u202egnp.exe",
    }


def _changed(content: Any, canaries: Canaries) -> Iterator[tuple[str, str]]:
    """A stored object with one part changed, once for each part; JSON within JSON, too."""
    inner = json.loads(content) if isinstance(content, str) else content
    if not isinstance(inner, dict):
        return

    def as_stored(text: str) -> str:
        return json.dumps(text) if isinstance(content, str) else text

    if "model_args" in inner:
        code = {"model": f"transformers/{canaries.code}"}
        code |= {"model_args": {"trust_remote_code": True}}
        for name, changes in {
            "network of a folder": code,
            "network of a folder, random": {**code, "weights": "none"},
            "network of timm's": {"model": f"timm/local-dir:{canaries.code}", "weights": "none"},
            "pickled weights": {"weights": str(canaries.pickled)},
            "pickled images": {"data": str(canaries.array)},
            "pickled state": {"sampler": "cmaes", "encoding": "continuous"},
            "output elsewhere": {"output": str(canaries.folder / "victim")},
        }.items():
            yield f"{CRAFTED} {name}", as_stored(json.dumps({**inner, **changes}))
    if isinstance(inner.get("chosen"), dict):
        secret = {"path": str(canaries.secret), "sha256": _digest(canaries.secret)}
        for field in ("weights", "predictions"):
            yield f"{CRAFTED} {field}", as_stored(json.dumps({**inner, field: secret}))
    nasty = {
        "secret's path": str(canaries.secret),
        "victim's path": str(canaries.folder / "victim"),
        "dirty": DIRTY,
        "null": None,
        "huge": 10**30,
    }
    for path in _paths(inner):
        shown = ".".join(map(str, path))
        for name, value in nasty.items():
            yield f"{shown}: {name}", as_stored(json.dumps(_with(inner, path, value)))
        text = json.dumps(_with(inner, path, "the deep one"))
        text = text.replace('"the deep one"', "[" * 5000 + "]" * 5000)
        yield f"{shown}: 5,000 lists", as_stored(text)


def _digest(path: Path) -> str:

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _paths(content: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every part that holds no other; of each list, the first one."""
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from _paths(value, (*before, key))
    elif isinstance(content, list) and content:
        yield from _paths(content[0], (*before, 0))
    else:
        yield before


def _with(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(content) if isinstance(content, dict) else list(content)
    copy[path[0]] = _with(copy[path[0]], path[1:], value)
    return copy
