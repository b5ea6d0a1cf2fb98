from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import optuna
import pytest
from made_up import DigitsStudy
from optuna.trial import create_trial
from serving import served

from optuna_layerwise.records.final import stored_final
from optuna_layerwise.reporting.dashboard_guard import is_loopback
from optuna_layerwise.reporting.dashboard_server import (
    ArtifactFolders,
    keep_result,
    make_server,
)
from optuna_layerwise.storage import open_storage


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        content: bytes = answer.read()
    return content


def test_infeasible_trials_are_marked_and_not_the_best(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=open_storage(url), direction="maximize")
    study.add_trial(create_trial(value=0.5, system_attrs={"constraints:memory": -1.0}))
    study.add_trial(create_trial(value=0.9, system_attrs={"constraints:memory": 2.0}))
    with served(open_storage(url)) as address:
        detail = json.loads(get(f"{address}/api/studies/{study._study_id}"))
    assert [trial["constraints"] for trial in detail["trials"]] == [[-1.0], [2.0]]
    assert [trial["number"] for trial in detail["best_trials"]] == [0]
    stored = open_storage(url).get_all_trials(study._study_id)
    assert [list(t.system_attrs) for t in stored] == [["constraints:memory"]] * 2


@pytest.mark.slow
def test_plan_and_weights_of_a_result_are_artifacts_once(digits_study: DigitsStudy) -> None:
    study = digits_study.study
    final = stored_final(study)
    assert final is not None
    output = digits_study.folder / "runs" / "digits"
    for _ in range(2):
        keep_result(study, final, output)
    metas = {m.filename: m for m in optuna.artifacts.get_all_artifact_meta(study)}
    assert len(optuna.artifacts.get_all_artifact_meta(study)) == 2
    assert set(metas) == {"policy.json", "best.safetensors"}
    with served(open_storage(digits_study.url), str(output)) as address:
        base = f"{address}/artifacts/{study._study_id}"
        policy = json.loads(get(f"{base}/{metas['policy.json'].artifact_id}"))
        weights = get(f"{base}/{metas['best.safetensors'].artifact_id}")
    assert policy == final.chosen.policy
    assert weights == (digits_study.folder / "best.safetensors").read_bytes()


def test_artifacts_are_read_from_all_folders_and_missing_ones_say_so(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    (second / "b").write_bytes(b"there")
    store = ArtifactFolders([first, second])
    with open(second / "b", "rb") as content:
        store.write("a", content)
    with store.open_reader("a") as a, store.open_reader("b") as b:
        assert a.read() == b.read() == b"there"
    store.remove("b")
    with pytest.raises(optuna.artifacts.exceptions.ArtifactNotFound, match="none of the folders"):
        store.open_reader("b")
    with pytest.raises(ValueError, match="Invalid artifact_id"):
        store.open_reader("../secret")


@pytest.mark.parametrize(
    "host, loopback",
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.0.2", False),
        ("", False),
        ("example.org", False),
    ],
)
def test_only_loopback_is_reached_by_nobody_else(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


def test_a_port_that_is_taken_is_one_clear_error(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    with (
        make_server(storage, port=0) as server,
        pytest.raises(OSError, match="cannot listen on 127.0.0.1:.*choose another --port"),
    ):
        make_server(storage, port=server.server_port)
