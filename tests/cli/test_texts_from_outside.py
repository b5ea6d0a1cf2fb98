"""Names that others chose are shown as they are, and nothing in them is obeyed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from commands import DIGITS, Cli
from forking import Command

from optuna_layerwise.cli.terminal import storage_option, study_options
from optuna_layerwise.io.texts import quoted, visible

NAMES = ["a[/x]b", "run[resnet18]", "[bold]b[/bold]", ":smile:", "-x", "--study", "a b'c\"d$e`f`"]
HOSTILE = "\x1b]0;owned\x07\x1b[2Jname\u202egnp\r\u2028end\x9b31m"
STORAGE = "sqlite:///optuna-layerwise.db"


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", NAMES)
def test_status_shows_names_as_they_are(name: str, cli: Cli) -> None:
    optuna.create_study(storage=STORAGE, study_name=name)
    for words in (("status",), ("status", f"--study={name}"), ("compare",), ("doctor",)):
        code, out, err = cli(*words)
        assert code == 0, err
        if words[0] != "doctor":
            assert name in out


@pytest.mark.sweep(4)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("name", [*NAMES, HOSTILE, "new\nline", "zero\u200bwidth"])
def test_a_shell_reads_a_printed_name_as_the_name(name: str, locale: str) -> None:
    text = study_options("sqlite:///a b.db", name)
    assert visible(text) == text
    show = f"{quoted(sys.executable)} -c 'import sys; print(ascii(sys.argv[1:]))' {text}"
    said = subprocess.run(
        ["bash", "-c", show],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": locale},
    ).stdout
    one = [f"--study={name}"] if name.startswith("-") else ["--study", name]
    assert said.strip() == ascii(["--storage", "sqlite:///a b.db", *one])


def test_the_next_commands_name_the_study_that_exists(cli: Cli) -> None:
    name = "-run[/resnet18] 'x'"
    code, out, err = cli(*DIGITS, f"--study={name}", "--trials", "1", "--no-live")
    assert code == 0, err
    line = next(line for line in out.splitlines() if "optuna-layerwise report" in line)
    code, _, err = cli(*shlex.split(line.partition("    #")[0])[1:], "-o", "r.html")
    assert code == 0, err
    assert Path("r.html").is_file()


@pytest.mark.slow
def test_control_characters_are_visible_on_both_streams_and_in_reports(
    tmp_path: Path, cli: Cli
) -> None:
    study = optuna.create_study(storage=STORAGE, study_name=HOSTILE)
    study.optimize(lambda trial: trial.suggest_float(f"p{HOSTILE}", 0, 1), n_trials=2)
    for words in (
        ["status"],
        ["status", "--study", HOSTILE],
        ["status", "--study", "other"],
        ["compare"],
        ["doctor"],
        ["report", "--study", HOSTILE, "-o", "-"],
        ["report", "--study", HOSTILE, "-o", "report.html"],
        ["pause", "--study", HOSTILE],
        ["resume", "--study", HOSTILE],
        ["export", "--study", HOSTILE],
        ["tune", "--data", f"./{HOSTILE}", "--model", HOSTILE, "--weights", "none"],
    ):
        for text in Command(words, tmp_path).communicate(300):
            assert visible(text, lines=True).replace("\\u200b", "\u200b") == text, words
            assert "Traceback" not in text
    page = (tmp_path / "report.html").read_text()
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(page.split("<script")[0])


def test_a_password_is_in_no_command_that_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://me:secret@host/db?password=secret"
    assert "secret" not in storage_option(url)
    monkeypatch.setenv("OPTUNA_LAYERWISE_STORAGE", url)
    assert storage_option(url) == '--storage "$OPTUNA_LAYERWISE_STORAGE"'


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody:sec55ret@127.0.0.1:1/db",
        "postgresql://nobody:a@sec55ret@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=nobody&password=sec55ret",
        "mysql://nobody:sec55ret@127.0.0.1:1/db",
        "mysql://nobody:p@127.0.0.1:1/db?sec55ret",
        "nobody:sec55ret@127.0.0.1/db",
        "postgresql://nobody:sec55ret@127.0.0.1:port/db",
        "unknown://nobody:sec55ret@127.0.0.1/db",
        "sqlite:///absent.db?password=sec55ret",
    ],
)
def test_errors_about_a_storage_do_not_have_its_password(url: str, tmp_path: Path) -> None:
    for told in (["--storage", url], [f"--storage={url}"], []):
        environment = {} if told else {"OPTUNA_LAYERWISE_STORAGE": url}
        done = Command(["status", *told], tmp_path, environment=environment)
        out, err = done.communicate(300)
        assert done.returncode == 2
        assert "sec55ret" not in out + err
        assert err.startswith("error: ")
