"""`make test` is short, and has tests of every room."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiers import COLLECTED, EMPTY

import optuna_layerwise

TESTS = Path(__file__).parent
ROOMS = [path.parent.name for path in Path(optuna_layerwise.__path__[0]).glob("*/__init__.py")]


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_has_tests_that_make_test_runs(room: str, pytestconfig: pytest.Config) -> None:
    of_room = [*(TESTS / room).rglob("test_*.py"), *TESTS.glob(f"test_{room}*.py")]
    assert of_room, f"no tests of {room}/"
    collected = pytestconfig.stash[COLLECTED]
    if not set(of_room) <= set(collected):
        pytest.skip("only a part of the tests was asked for")
    assert any(collected[path] for path in of_room)


def test_each_sweep_has_a_case_that_make_test_runs(pytestconfig: pytest.Config) -> None:
    if len(pytestconfig.args) > 1 or "::" in str(pytestconfig.args):
        pytest.skip("only a part of the tests was asked for")
    assert pytestconfig.stash[EMPTY] == []
