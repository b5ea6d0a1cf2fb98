"""Studies as they are at one moment, in memory, read with a constant number of statements.

What a database holds, somebody else may have written: a study that cannot be read is refused
with its reason, and takes none of the others along.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections import defaultdict, namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.io.plain import UNREADABLE, decoded, shortened
from optuna_layerwise.storage.journal import FileJournalStorage
from optuna_layerwise.storage.reading import Select, SQLiteFile

_FEW = 100
_Rows = dict[int, list[Any]]
_INFINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf}
"""Values that are stored as their kind, for databases have no such numbers."""


class Picture(InMemoryStorage):
    """Studies that were read; trials keep the ids and numbers that are stored.

    Attributes:
        refused: Names of the studies that cannot be read, and why.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, str] = {}
        self._by_id: dict[int, FrozenTrial] = {}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """As Optuna's, also where numbers are missing."""
        return self._by_id[trial_id]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """As Optuna's, among trials that have a value.

        Raises:
            ValueError: if there is none.
            RuntimeError: if there are several objectives.
        """
        [direction, *others] = self.get_study_directions(study_id)
        if others:
            raise RuntimeError("there are several objectives")
        trials = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.COMPLETE,))
        trials = [t for t in trials if t.values and t.values[0] == t.values[0]]
        best = max if direction == StudyDirection.MAXIMIZE else min
        return best(trials, key=lambda trial: trial.values[0])

    def add(self, study: _Stored) -> None:
        """Add a study, or refuse it."""
        try:
            directions, trials = study.directions(), study.trials()
            user_attrs, system_attrs = study.attributes("user"), study.attributes("system")
        except UNREADABLE as error:
            said = str(error).splitlines() or [type(error).__name__]
            self.refused[study.name] = said[0]
            return
        self._add(study.name, directions, trials, user_attrs, system_attrs)

    def add_of_journal(self, storage: FileJournalStorage, study: FrozenStudy, reason: str) -> None:
        """Add a study of a journal, or refuse it, if there is a reason."""
        if reason:
            self.refused[study.study_name] = reason
            return
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
        self._add(study.study_name, study.directions, trials, study.user_attrs, study.system_attrs)

    def _add(
        self,
        name: str,
        directions: Sequence[StudyDirection],
        trials: list[FrozenTrial],
        user_attrs: dict[str, Any],
        system_attrs: dict[str, Any],
    ) -> None:
        info = self._studies[self.create_new_study(directions, name)]
        info.trials, info.user_attrs, info.system_attrs = trials, user_attrs, system_attrs
        self._by_id |= {trial._trial_id: trial for trial in trials}


def picture_of(
    storage: BaseStorage | SQLiteFile, names: Iterable[str] | None = None
) -> BaseStorage:
    """The studies of these names, or all; storages of other kinds are their own pictures."""
    chosen = None if names is None else set(names)
    if isinstance(storage, SQLiteFile):
        return storage.persist(lambda again: _read(storage, chosen))
    if isinstance(storage, FileJournalStorage):
        shown = Picture()
        for study, reason in storage.studies_with_faults():
            if chosen is None or study.study_name in chosen:
                shown.add_of_journal(storage, study, reason)
        return shown
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, RDBStorage):
        return storage
    from optuna_layerwise.storage.persistent import PersistentStorage  # with SQLAlchemy

    if isinstance(backend, PersistentStorage):
        return backend.persist(lambda again: _read(backend, chosen))
    return _read(backend, chosen)


def study_names(storage: BaseStorage | SQLiteFile) -> list[str]:
    """In alphabetical order, whatever is stored with the studies."""
    source = getattr(storage, "_backend", storage)
    if isinstance(source, RDBStorage | SQLiteFile):
        with _selecting(source) as select:
            return sorted(row.study_name for row in _rows(select, "studies"))
    assert isinstance(storage, BaseStorage)
    return sorted(study.study_name for study in storage.get_all_studies())


def open_pictured(shown: BaseStorage, name: str) -> optuna.Study:
    """A study of what `picture_of` gave.

    Raises:
        ValueError: if it cannot be read.
    """
    reason = refused_of(shown).get(name)
    if reason is not None:
        raise ValueError(f"study {name!r} cannot be read: {reason}; `doctor` says more")
    return optuna.load_study(study_name=name, storage=shown)


def refused_of(shown: BaseStorage) -> Mapping[str, str]:
    """Studies that cannot be read, and why."""
    return shown.refused if isinstance(shown, Picture) else {}


def _printable(text: object) -> Any:
    content = decoded(text)
    if "\\ud" in str(text).lower():
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it has half of a pair of surrogates, which is no text") from None
    return content


@dataclasses.dataclass
class _Stored:
    """The rows of one study, by table; of its trials also by trial."""

    name: str
    study_id: int
    rows: Mapping[str, _Rows]
    distribution: Callable[[str], BaseDistribution]

    def directions(self) -> list[StudyDirection]:
        found = sorted(self.rows["study_directions"].get(self.study_id, ()), key=_objective)
        if not found:
            raise ValueError("no direction is stored")
        return [StudyDirection[row.direction] for row in found]

    def attributes(self, kind: str) -> dict[str, Any]:
        return _attributes(self.rows[f"study_{kind}_attributes"].get(self.study_id, ()), "")

    def trials(self) -> list[FrozenTrial]:
        found = self.rows["trials"].get(self.study_id, ())
        return [self._trial(row) for row in sorted(found, key=lambda row: row.trial_id)]

    def _trial(self, row: Any) -> FrozenTrial:
        of = f" of trial {row.number}"

        def rows(table: str) -> Sequence[Any]:
            return self.rows[table].get(row.trial_id, ())

        try:
            values = [
                _number(v.value, v.value_type, _INFINITE)
                for v in sorted(rows("trial_values"), key=_objective)
            ]
            steps = {
                _step(v.step): _number(
                    v.intermediate_value,
                    v.intermediate_value_type,
                    {**_INFINITE, "NAN": math.nan},
                )
                for v in rows("trial_intermediate_values")
            }
            if not isinstance(row.number, int):
                raise ValueError(f"{shortened(row.number)} as its number")
            state = TrialState[row.state]
            start, complete = _time(row.datetime_start), _time(row.datetime_complete)
        except UNREADABLE as error:
            raise ValueError(f"trial {row.number} has {_said(error)}") from None
        params, distributions = {}, {}
        for param in sorted(rows("trial_params"), key=lambda p: p.param_id):
            try:
                distribution = self.distribution(param.distribution_json)
                distributions[param.param_name] = distribution
                params[param.param_name] = distribution.to_external_repr(_float(param.param_value))
            except UNREADABLE as error:
                where = f"parameter {param.param_name!r}{of}"
                raise ValueError(f"{where} cannot be read: {_said(error)}") from None
        return FrozenTrial(
            number=row.number,
            state=state,
            value=None,
            values=values or None,
            datetime_start=start,
            datetime_complete=complete,
            params=params,
            distributions=distributions,
            user_attrs=_attributes(rows("trial_user_attributes"), of),
            system_attrs=_attributes(rows("trial_system_attributes"), of),
            intermediate_values=steps,
            trial_id=row.trial_id,
        )


def _step(step: object) -> int:
    if not isinstance(step, int):
        raise ValueError(f"{shortened(step)} as a step")
    return step


def _attributes(rows: Iterable[Any], of: str) -> dict[str, Any]:
    found = {}
    for row in rows:
        try:
            found[row.key] = _printable(row.value_json)
        except ValueError as error:
            raise ValueError(f"attribute {row.key!r}{of} cannot be read: {error}") from None
    return found


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {shortened(str(error))}"


def _objective(row: Any) -> int:
    objective = row.objective
    if not isinstance(objective, int):
        raise ValueError(f"an objective has the number {shortened(objective)}")
    return objective


def _float(value: object) -> Any:
    if value is not None and not isinstance(value, int | float):
        raise ValueError(f"{shortened(value)} where a number is expected")
    return value


def _number(value: object, kind: Any, others: Mapping[str, float]) -> Any:
    """A value as Optuna stores it: a number of the kind ``FINITE``, or nothing but its kind."""
    if (value is None) == (kind == "FINITE"):
        raise ValueError(f"{shortened(value)} as a value of the kind {shortened(kind)}")
    return _float(value) if value is not None else others[kind]


def _time(value: object) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    raise ValueError(f"{shortened(value)} where a time is expected")


_STUDIES = {
    "study_directions": ("study_id", "direction", "objective"),
    "study_user_attributes": ("study_id", "key", "value_json"),
    "study_system_attributes": ("study_id", "key", "value_json"),
    "trials": (
        *("study_id", "trial_id", "number", "state"),
        *("datetime_start", "datetime_complete"),
    ),
}
"""Columns of the tables whose rows belong to a study, which is the first."""
_TRIALS = {
    "trial_values": ("trial_id", "objective", "value", "value_type"),
    "trial_params": ("trial_id", "param_id", "param_name", "param_value", "distribution_json"),
    "trial_user_attributes": ("trial_id", "key", "value_json"),
    "trial_system_attributes": ("trial_id", "key", "value_json"),
    "trial_intermediate_values": (
        *("trial_id", "step"),
        *("intermediate_value", "intermediate_value_type"),
    ),
}
"""Columns of the tables whose rows belong to a trial, which is the first."""
COLUMNS = {"studies": ("study_id", "study_name"), **_STUDIES, **_TRIALS}
"""What is read, as the driver gives it: a value of a wrong kind stops no reading."""


def _read(source: RDBStorage | SQLiteFile, names: set[str] | None) -> Picture:
    rows: dict[str, _Rows] = {}
    with _selecting(source) as select:
        found = _rows(select, "studies")
        chosen = [row for row in found if names is None or row.study_name in names]
        # (Of many, those that are not wanted are read as well: their list would be too long.)
        some = [row.study_id for row in chosen] if len(chosen) < min(len(found), _FEW) else None
        for table in (*_STUDIES, *_TRIALS):
            grouped: _Rows = defaultdict(list)
            for row in _rows(select, table, some):
                grouped[row[0]].append(row)
            rows[table] = grouped
    shown, cache = Picture(), {}

    def distribution(text: str) -> BaseDistribution:
        if text not in cache:
            decoded(text)
            cache[text] = json_to_distribution(text)
        return cache[text]

    stored = partial(_Stored, rows=rows, distribution=distribution)
    for row in sorted(chosen, key=lambda row: row.study_id):
        shown.add(stored(row.study_name, row.study_id))
    return shown


def _rows(select: Select, table: str, studies: Sequence[Any] | None = None) -> list[Any]:
    """The rows of a table, of all studies or of those with these ids."""
    query = f"SELECT {', '.join(f't.{name}' for name in COLUMNS[table])} FROM {table} AS t"
    values = {f"id{index}": study for index, study in enumerate(studies or ())}
    if studies is not None:
        if table in _TRIALS:
            query += " JOIN trials AS s ON s.trial_id = t.trial_id"
        owner = "s" if table in _TRIALS else "t"
        wanted = ", ".join(f":{name}" for name in values) or "NULL"
        query += f" WHERE {owner}.study_id IN ({wanted})"
    row = namedtuple(table, COLUMNS[table])  # type: ignore[misc]
    return [row(*found) for found in select(query, values)]


@contextlib.contextmanager
def _selecting(source: RDBStorage | SQLiteFile) -> Iterator[Select]:
    """Inside, statements read a database, through SQLAlchemy or without it."""
    if isinstance(source, SQLiteFile):
        with source.selecting() as select:
            yield select
        return
    import sqlalchemy

    with source.engine.connect() as connection:
        yield lambda query, values: connection.execute(sqlalchemy.text(query), values)
