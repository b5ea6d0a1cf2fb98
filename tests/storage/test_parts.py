"""Values above what a row holds: whole on every storage, or an error, never a piece."""

from __future__ import annotations

import json

import optuna
import pytest
from databases import close
from optuna.storages import BaseStorage

from optuna_layerwise.attributes import UnreadableAttribute
from optuna_layerwise.results import stored_final
from optuna_layerwise.storage import (
    FINAL_KEY,
    IncompleteValueError,
    all_study_attrs,
    compare_and_set,
    open_storage,
    study_attr,
    write_once,
)

LONG = {"names": [f'"block\\{i}" ü' for i in range(20_000)], "values": [0.1] * 3_000}


def test_a_long_value_is_whole_on_every_storage_and_no_row_is_long(storage: BaseStorage) -> None:
    study = optuna.create_study(storage=storage)
    assert len(json.dumps(LONG)) > 300_000
    assert write_once(study, "key", LONG) == LONG
    assert write_once(study, "key", {"other": 1}) == LONG
    assert all_study_attrs(study) == {"key": LONG}
    system = storage.get_study_system_attrs(study._study_id)
    rows = [json.dumps(value) for value in {**study.user_attrs, **system}.values()]
    assert max(map(len, rows)) <= 60_000
    longer = {**LONG, "more": 1}
    assert not compare_and_set(study, "key", longer, None)
    assert compare_and_set(study, "key", LONG, longer)
    assert study_attr(study, "key") == longer
    assert write_once(study, "short", "x" * 50_000) == study.user_attrs["short"], "one row"


def test_a_result_with_a_damaged_part_is_refused_and_what_is_left_stays(
    storage: BaseStorage,
) -> None:
    study = optuna.create_study(storage=storage)
    write_once(study, FINAL_KEY, LONG)
    head = study.user_attrs
    parts = storage.get_study_system_attrs(study._study_id)
    storage.set_study_system_attr(study._study_id, min(parts), "what somebody wrote")
    with pytest.raises(IncompleteValueError, match="not what was written"):
        study_attr(study, FINAL_KEY)
    with pytest.raises(UnreadableAttribute, match="not what was written"):
        stored_final(study)
    assert study.user_attrs == head


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_long_values_are_whole_where_mysql_would_cut_them(url: str) -> None:
    storage = open_storage(f"{url}?init_command=SET SESSION sql_mode=''")
    study = optuna.create_study(storage=storage)
    assert write_once(study, FINAL_KEY, LONG) == LONG
    close(storage)
