"""The commands report, compare and export on studies that are there already."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from commands import Cli
from disks import full_disk
from report_studies import HOSTILE, a_study

from optuna_layerwise.cli import searching
from optuna_layerwise.experiments.presets import PRESETS
from optuna_layerwise.experiments.repeating import tune_command_of
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.storage import open_storage

STORAGE = "sqlite:///optuna-layerwise.db"


def stored(name: str, **options: Any) -> optuna.Study:
    return a_study(name=name, storage=open_storage(STORAGE), **options)


def test_report_writes_html_or_markdown_by_the_files_name(cli: Cli, tmp_path: Path) -> None:
    stored("leaves", settings=Settings(data="/x/leaves", model="resnet18", weights="/x/w.pth"))
    code, out, _ = cli("report", "--study", "leaves")
    assert code == 0
    assert "wrote leaves.html (4." in out
    assert "tune --data /x/leaves" in (tmp_path / "leaves.html").read_text()
    assert cli("report", "--study", "leaves", "-o", "new/r.md")[0] == 0
    assert (tmp_path / "new" / "r.md").read_text().startswith("# Study leaves\n")
    code, out, _ = cli("report", "--study", "leaves", "--format", "md")
    assert out.startswith("# Study leaves\n")
    code, _, err = cli("report", "--study", "leaves", "--format", "pdf")
    assert code == 2
    assert err == "error: --format must be one of html, md, got 'pdf'\n"
    assert "no study 'other'" in cli("report", "--study", "other")[2]


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("report", "-o", "x.pdf"), "--output must end with .html or .htm or .md"),
        (("report", "-o", "x.PNG"), "--output must end with .html or .htm or .md"),
        (("report", "-o", "x.md", "--format", "html"), "must end with .html or .htm with --form"),
        (("compare", "--json", "x.csv"), "--json must end with .json"),
        (("compare", "--figure", "x.png"), "--figure must end with .html or .htm"),
        (("export", "--to", "x.json"), "--to must be a folder"),
        (("export", "--to", "x.zip"), "--to must be a folder"),
    ],
)
def test_a_file_of_a_kind_that_is_not_written_is_refused_with_those_that_are(
    cli: Cli, tmp_path: Path, command: tuple[str, ...], expected: str
) -> None:
    stored("leaves")
    words = command if command[0] == "compare" else (*command, "--study", "leaves")
    code, _, err = cli(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert expected in err
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("report", "--study", "leaves", "-o", "out/r.html"), "out/r.html"),
        (("report", "--study", "leaves", "-o", "out/r.md"), "out/r.md"),
        (("compare", "--json", "out/c.json"), "out/c.json"),
        (("compare", "--figure", "out/c.html"), "out/c.html"),
        (("export", "--study", "leaves", "--to", "out"), "out/policy.json"),
    ],
)
def test_a_full_disk_leaves_the_older_file_and_is_one_line(
    cli: Cli, tmp_path: Path, command: tuple[str, ...], file: str
) -> None:
    a_study(name="leaves", storage=open_storage(STORAGE, log=False))  # SQLite's log is a file, too
    (tmp_path / "out").mkdir()
    (tmp_path / file).write_text("older")
    with full_disk(200):
        code, _, err = cli(*command)
    assert (code, err.count("\n")) == (2, 1)
    assert f"cannot write {file}: File too large" in err
    assert (tmp_path / file).read_text() == "older"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [Path(file).name]


def test_the_name_of_a_study_is_no_path(cli: Cli, tmp_path: Path) -> None:
    stored("../../etc/x y")
    assert cli("report", "--study", "../../etc/x y")[0] == 0
    assert [path.name for path in tmp_path.glob("*.html")] == ["etc-x-y-148662b1.html"]


@pytest.mark.slow
def test_compare_needs_no_option_and_takes_patterns(cli: Cli, tmp_path: Path) -> None:
    for method in ("tpe", "cma"):
        for seed in range(3):
            stored(f"{method}-{seed}", seed=seed, final=False)
    code, out, _ = cli("compare")
    assert code == 0
    for expected in (
        "cma against tpe, equal trials",
        "after 4,800 training images",
        "A group has 3",
    ):
        assert expected in " ".join(out.split())
    assert cli("compare", "tpe-*", "cma-0", "--json", "c.json")[0] == 0
    members = json.loads((tmp_path / "c.json").read_text())["members"]
    assert [m["study"] for m in members] == ["tpe-0", "tpe-1", "tpe-2", "cma-0"]
    assert cli("compare", "--figure", "c.html")[0] == 0
    drawn = (tmp_path / "c.html").read_text()
    assert all(f'"name":"{method}"' in drawn for method in ("tpe", "cma"))
    code, out, _ = cli("compare", "--group", "a=tpe-*", "--group", "b=cma-*", "--json", "-")
    assert {m["group"] for m in json.loads(out)["members"]} == {"a", "b"}
    assert "no study 'xyz*'" in cli("compare", "xyz*")[2]


def test_names_are_no_markup_on_the_terminal(cli: Cli) -> None:
    stored(f"[red]{HOSTILE[:60]}\x1b[31m", final=False)
    code, out, _ = cli("compare")
    assert code == 0
    assert "[red]" in out
    assert "\x1b[31m" not in out


def test_export_writes_yaml_and_a_trial(cli: Cli, tmp_path: Path) -> None:
    stored("leaves")
    assert cli("export", "--study", "leaves", "--format", "yaml")[0] == 0
    assert yaml.safe_load((tmp_path / "exported/policy.yaml").read_text())["policy"]["head"] == 0.5
    code, out, _ = cli("export", "--study", "leaves", "--trial", "0", "--to", "plan")
    assert (code, out.split()) == (0, ["plan/policy.json"])


EXAMPLES = {
    "digits": Settings(image_size=8),
    "much": Settings(
        data="/x/my leaves",
        columns={"label": "dx"},
        group_by=None,
        model="resnet18",
        model_args={"zero_init_residual": True},
        weights="none",
        mean=(0.1, 0.2, 0.3),
        image_size=64,
        resize=70,
        sampler="tpe",
        sampler_options={"n_startup_trials": 5},
        seeds=(0, 1),
        prune=True,
        reuse=False,
        finalists=2,
        race=False,
        recipe=Recipe(lr=0.01, patience=None, metric="auc"),
        compute={"precision": "bf16"},
        threads=1,
    ),
}
for name, make in PRESETS.items():
    sampler = "catcmawm" if name == "revo" else "biotune"
    places = {"data": "/x/leaves", "model": "resnet18", "weights": "none", "seed": 3}
    EXAMPLES[name] = Settings(
        sampler=sampler, **places, **make(sampler, None, places["data"], places["seed"])
    )


@pytest.mark.sweep
@pytest.mark.parametrize("settings", EXAMPLES.values(), ids=EXAMPLES)
def test_the_command_gives_the_settings_that_it_came_from(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    given: list[Settings] = []
    monkeypatch.setattr(searching, "run", lambda made, *rest, **more: given.append(made))
    command = tune_command_of(settings, "postgresql://me:secret@host/db", "a b")
    assert "secret" not in command
    assert shlex.split(command)[-2:] == ["--study", "a b"]
    words = shlex.split(command)[1:]
    words[words.index("--storage") + 1] = STORAGE
    code, _, err = cli(*words)
    assert (code, err) == (0, "")
    assert given[0].differences(settings) == {}
    assert given[0].trials == settings.trials
