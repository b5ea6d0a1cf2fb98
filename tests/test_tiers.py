"""`make test` is short, and has tests of every room."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiers import COLLECTED, EMPTY

import optuna_layerwise

ROOMS = [path.parent.name for path in Path(optuna_layerwise.__path__[0]).glob("*/__init__.py")]


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_is_used_by_tests_that_make_test_runs(
    room: str, pytestconfig: pytest.Config
) -> None:
    collected = pytestconfig.stash[COLLECTED]
    if not set(Path(__file__).parent.rglob("test_*.py")) <= set(collected):
        pytest.skip("only a part of the tests was asked for")
    name = f"optuna_layerwise.{room}"
    assert [path for path, runs in collected.items() if runs and name in path.read_text()]


def test_each_sweep_has_a_case_that_make_test_runs(pytestconfig: pytest.Config) -> None:
    if len(pytestconfig.args) > 1 or "::" in str(pytestconfig.args):
        pytest.skip("only a part of the tests was asked for")
    assert pytestconfig.stash[EMPTY] == []
