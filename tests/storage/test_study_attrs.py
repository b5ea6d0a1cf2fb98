"""Attributes of a study that several processes write, on every storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from databases import close
from forking import CONTEXT
from optuna.storages import BaseStorage, RDBStorage

from optuna_layerwise.storage import (
    compare_and_set,
    open_storage,
    study_attr,
    update,
    write_once,
)

RACERS, ROUNDS = 4, 15


@pytest.mark.parametrize("system", [False, True])
def test_an_attribute_is_written_only_while_it_is_what_was_read(
    storage: BaseStorage, system: bool
) -> None:
    study = optuna.create_study(storage=storage)
    first, second = {"a": [1, "ü", None], "b": 0.1}, {"b": 0.1}
    assert study_attr(study, "key", system=system) is None
    assert not compare_and_set(study, "key", first, second, system=system)
    assert compare_and_set(study, "key", None, first, system=system)
    assert not compare_and_set(study, "key", None, second, system=system)
    assert study_attr(study, "key", system=system) == first
    assert compare_and_set(study, "key", dict(reversed(first.items())), second, system=system)
    assert write_once(study, "key", first, system=system) == second
    assert compare_and_set(study, "key", second, None, system=system)
    assert write_once(study, "key", first, system=system) == first, "it had been taken back"
    assert study_attr(study, "key", system=not system) is None
    deleted = optuna.create_study(storage=storage)
    optuna.delete_study(study_name=deleted.study_name, storage=storage)
    with pytest.raises(KeyError):
        compare_and_set(deleted, "key", None, 1, system=system)


def test_a_long_value_that_is_not_in_parts_is_replaced(storage: BaseStorage) -> None:
    """As an older release has stored it, in a database that takes it."""
    study = optuna.create_study(storage=storage)
    long = {"classes": ["x" * 60] * 2_000}
    try:
        study.set_user_attr("names", long)
    except optuna.exceptions.StorageInternalError:
        pytest.skip("this database takes no such value, so none has it")
    new = update(study, "names", lambda stored: {**stored, "notices": ["one"]})
    assert new == {**long, "notices": ["one"]} == study_attr(study, "names")


def test_an_update_sees_what_was_written_meanwhile(storage: BaseStorage) -> None:
    study = optuna.create_study(storage=storage)
    seen = []

    def change(stored: Any) -> Any:
        seen.append(stored)
        if len(seen) == 1:  # another process is quicker
            study.set_user_attr("names", ["theirs"])
        return [*(stored or []), "ours"]

    assert update(study, "names", change) == ["theirs", "ours"]
    assert seen == [None, ["theirs"]]
    assert study.user_attrs == {"names": ["theirs", "ours"]}


def opened(url: str) -> BaseStorage:
    """One that somebody has opened without this package, if the address says so."""
    plain = url.removeprefix("plain ")
    return open_storage(plain) if plain == url else optuna.storages.get_storage(plain)


def race(url: str, ready: Any, won: Any, me: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = opened(url)
    study = optuna.load_study(study_name="raced", storage=storage)
    for number in range(ROUNDS):
        ready.wait(120)
        won.put((number, me, compare_and_set(study, f"round {number}", None, me)))
        update(study, "count", lambda stored: (stored or 0) + 1, system=True)
    close(storage)


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("url", "prefix"),
    [(kind, "") for kind in ("sqlite", "postgresql", "mysql")]
    + [(kind, "plain ") for kind in ("sqlite", "postgresql", "mysql")]
    + [("sqlite", "journal")],
    indirect=["url"],
)
def test_of_processes_that_race_for_an_attribute_exactly_one_wins(
    url: str, prefix: str, tmp_path: Path
) -> None:
    address = f"journal:///{tmp_path}/raced.log" if prefix == "journal" else prefix + url
    if prefix == "plain ":
        address = address.replace("postgresql:", "postgresql+psycopg:")
    storage = opened(address)
    study = optuna.create_study(study_name="raced", storage=storage)
    ready, won = CONTEXT.Barrier(RACERS), CONTEXT.Queue()
    racers = [
        CONTEXT.Process(target=race, args=(address, ready, won, me), daemon=True)
        for me in range(RACERS)
    ]
    for racer in racers:
        racer.start()
    outcomes = [won.get(timeout=120) for _ in range(RACERS * ROUNDS)]
    for racer in racers:
        racer.join(60)
        assert racer.exitcode == 0
    winners = {number: me for number, me, mine in outcomes if mine}
    assert len([mine for *_, mine in outcomes if mine]) == len(winners) == ROUNDS
    assert study.user_attrs == {f"round {number}": me for number, me in winners.items()}
    assert study_attr(study, "count", system=True) == RACERS * ROUNDS, "none was lost"
    close(storage)


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_a_write_whose_answer_was_lost_is_recognised(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(url, patience_seconds=30)
    study = optuna.create_study(storage=storage)
    backend: Any = getattr(storage, "_backend", None)
    assert isinstance(backend, RDBStorage)
    commits = []
    session_class = backend.scoped_session.session_factory.class_
    commit = session_class.commit

    def commit_then_lose_the_answer(session: Any) -> None:
        commit(session)
        commits.append(session)
        if len(commits) == 1:
            cause = RuntimeError("server closed the connection unexpectedly")
            raise sqlalchemy.exc.OperationalError("COMMIT", {}, cause, connection_invalidated=True)

    monkeypatch.setattr(session_class, "commit", commit_then_lose_the_answer)
    assert compare_and_set(study, "key", None, "mine")
    assert len(commits) == 2 and study.user_attrs == {"key": "mine"}
    assert not compare_and_set(study, "key", None, "mine"), "the second time, it was there"
    close(storage)
