"""Which tests `make test` runs, and which it leaves to `make test-all`.

A test marked ``slow`` is left to `make test-all`. Of a parametrised test marked ``sweep``,
`make test` runs a few cases, and the others become ``slow``:

* ``@pytest.mark.sweep`` keeps the first case;
* ``@pytest.mark.sweep(3)`` keeps three, evenly spread from the first to the last;
* ``@pytest.mark.sweep(name="resnet18")`` keeps the cases with this value, or one of a tuple of
  values; with a number as well, so many of them.

The fixtures `url` and `storage` of ``databases.py`` are sweeps, too: without a mark, what runs on
a server is left to `make test-all`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

COLLECTED = pytest.StashKey[dict[Path, bool]]()
"""Module of tests to whether `make test` runs any of it."""
EMPTY = pytest.StashKey[list[str]]()
"""Sweeps that have no case for `make test`."""


def mark_sweeps(items: Sequence[pytest.Item]) -> list[str]:
    """Mark as slow what sweeps leave to `make test-all`; returns the sweeps that leave it all."""
    sweeps: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sweep"):
            sweeps[item.nodeid.partition("[")[0]].append(item)
        elif needs_server(item):
            item.add_marker("slow")
    for cases in sweeps.values():
        mark = cases[0].get_closest_marker("sweep")
        assert mark is not None
        named = [case for case in cases if has_values(case, mark.kwargs)]
        n = mark.args[0] if mark.args else len(named) if mark.kwargs else 1
        kept = {id(case) for case in spread(named, n)}
        for case in cases:
            if id(case) not in kept:
                case.add_marker("slow")
    return [
        name
        for name, cases in sweeps.items()
        if all(case.get_closest_marker("slow") for case in cases)
    ]


def needs_server(item: pytest.Item) -> bool:
    """Whether a test runs on a server's database."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return any(params.get(name) in ("postgresql", "mysql") for name in ("url", "storage"))


def has_values(case: pytest.Item, wanted: Mapping[str, Any]) -> bool:
    """Whether a case of a parametrised test has one of the wanted values of each parameter."""
    params = case.callspec.params  # type: ignore[attr-defined]
    return all(
        params[name] in (values if isinstance(values, tuple) else (values,))
        for name, values in wanted.items()
    )


def spread(cases: Sequence[pytest.Item], n: int) -> list[pytest.Item]:
    """At most n cases, evenly spread from the first to the last."""
    if n >= len(cases):
        return list(cases)
    return [cases[round(i * (len(cases) - 1) / max(1, n - 1))] for i in range(n)]
