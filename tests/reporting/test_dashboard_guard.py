"""Other pages in the browser reach the dashboard's address, and get and change nothing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from playwright.sync_api import expect
from serving import OpenPage, served

from optuna_layerwise.reporting.dashboard_server import ARTIFACTS
from optuna_layerwise.storage import open_storage

URL = "sqlite:///study.db"


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(storage=open_storage(URL), study_name="leaves")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with served(open_storage(URL)) as url:
        yield url


def ask(
    address: str, method: str, path: str, content: object = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    body = None if content is None else json.dumps(content)
    if body is not None:
        sent["Content-Type"] = "application/json"
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return found


def names() -> list[str]:
    return optuna.get_all_study_names(open_storage(URL))


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "", "[::1", "0"],
)
def test_a_name_that_is_not_the_servers_reads_and_changes_nothing(address: str, host: str) -> None:
    host = host.format(port=urlsplit(address).port)
    _, headers, _ = ask(address, "GET", "/dashboard/")
    cookie = headers["set-cookie"].partition(";")[0]
    rename = {"study_name": "evil"}
    for method, path, content in (
        ("GET", "/api/studies", None),
        ("POST", "/api/studies/1/rename", rename),
        ("DELETE", "/api/studies/1", {}),
    ):
        status, _, answer = ask(address, method, path, content, Host=host, Cookie=cookie)
        assert status in (400, 403)
        assert b"leaves" not in answer
    assert names() == ["leaves"]


def test_own_names_are_answered(address: str) -> None:
    port = urlsplit(address).port
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert ask(address, "GET", "/api/studies", Host=host)[0] == 200


def test_only_the_dashboards_own_pages_write(address: str) -> None:
    _, headers, _ = ask(address, "GET", "/dashboard/")
    cookie = headers["set-cookie"].partition(";")[0]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert "HttpOnly" in headers["set-cookie"]
    path, content = "/api/studies/1/rename", {"study_name": "new"}
    for refused in (
        {},
        {"Origin": address},
        {"Cookie": cookie + "x", "Origin": address},
        {"Cookie": cookie, "Origin": "http://evil.example"},
        {"Cookie": cookie, "Origin": "null"},
        {"Cookie": cookie, "Origin": "http://["},
        {"Cookie": cookie, "Origin": address, "Sec_Fetch_Site": "cross-site"},
        {"Cookie": cookie, "Origin": address, "Sec_Fetch_Site": "same-site"},
    ):
        assert ask(address, "POST", path, content, **refused)[0] == 403
    assert names() == ["leaves"]
    assert ask(address, "POST", path, content, Cookie=cookie, Origin=address)[0] == 201
    assert names() == ["new"]


def test_artifacts_are_files_to_save_and_never_pages(address: str) -> None:
    study = optuna.load_study(storage=URL, study_name="leaves")
    page = Path("page.html")
    page.write_text("<script>alert(1)</script>")
    folder = Path("optuna-layerwise-runs") / ARTIFACTS
    folder.mkdir(parents=True)
    artifact = upload_artifact(
        artifact_store=FileSystemArtifactStore(folder), file_path=str(page), study_or_trial=study
    )
    status, headers, content = ask(address, "GET", f"/artifacts/{study._study_id}/{artifact}")
    assert (status, content) == (200, page.read_bytes())
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == "attachment"
    assert headers["content-security-policy"] == "sandbox"


@pytest.mark.slow
def test_the_pages_own_buttons_work_in_a_browser(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/dashboard/")
    expect(page.get_by_text("leaves")).to_be_visible()
    answer = page.evaluate(
        """() => fetch("/api/studies/1/rename", {method: "POST",
             headers: {"Content-Type": "application/json"},
             body: JSON.stringify({study_name: "renamed"})}).then(answer => answer.status)"""
    )
    assert answer == 201
    assert names() == ["renamed"]
