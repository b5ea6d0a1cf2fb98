"""Every command with databases and studies that it cannot use: one clear line, no traceback."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
import typer
from commands import Cli
from databases import SERVERS, close
from forking import Command

from optuna_layerwise.cli.app import app
from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import open_storage

GROUP: Any = typer.main.get_command(app)
WITHOUT_STUDIES = {"bench", "blocks", "init", "predict"}
"""Commands that open no database; what they cannot do is in their own tests."""
COMMANDS: dict[str, Any] = {
    name: GROUP.get_command(None, name)
    for name in GROUP.list_commands(None)
    if name not in WITHOUT_STUDIES
}
SERVES = {"dashboard"}
"""Commands that do not end where the database can be opened."""
NEEDS = {"launch": ["--workers", "1"]}
"""Command to the options that it does not do without."""
LOOKS = {"status", "compare", "report", "doctor"}
"""Commands that say what there is, whatever it is."""


def arguments(name: str, storage: str, study: str = "digits") -> list[str]:
    """A command on a study; of its own other options it must need none."""
    given = {"storage": ["--storage", storage], "study": ["--study", study], "studies": [study]}
    parameters = {parameter.name: parameter for parameter in COMMANDS[name].params}
    assert "storage" in parameters, f"{name} takes no --storage: say here what it needs"
    needed = {p.name for p in parameters.values() if p.required}
    assert needed <= set(given), f"{name} needs {needed - set(given)}: say here what to give"
    options = [a for key, options in given.items() if key in parameters for a in options]
    return [name, *options, *NEEDS.get(name, [])]


def is_one_line(err: str) -> bool:
    """An error and nothing else, but for warnings of a line each."""
    lines = err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    return len(errors) == 1 and all(line.startswith("warning: ") for line in lines[:-1])


def run(cli: Cli, *command: str) -> tuple[int, str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return cli(*command)


def refuses(cli: Cli, *command: str) -> str:
    """Run a command that has to fail; returns its line."""
    code, out, err = run(cli, *command)
    assert code == 2, (out, err)
    assert is_one_line(err), err
    assert "Traceback" not in out + err
    assert len(err) < 600
    return err


def outside(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own; it must not have imported torch."""
    code = (
        "import sys\nfrom optuna_layerwise.cli import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    )
    process = [sys.executable, "-c", code, *command]
    return subprocess.run(process, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a study of ours, as `tune --no-work` leaves it, and two trials."""
    path = tmp_path_factory.mktemp("healthy") / "study.db"
    command = [*arguments("tune", f"sqlite:///{path}"), "--no-work"]
    assert Command(command, path.parent).wait(300) == 0
    storage = open_storage(f"sqlite:///{path}")
    study = optuna.load_study(storage=storage, study_name="digits", sampler=BioTuneSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    close(storage)
    return path


@pytest.fixture
def database(healthy: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copy(healthy, tmp_path / "study.db"))


def execute(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


# --- databases -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """A port of this machine where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_host_that_does_not_answer(cli: Cli, name: str, kind: str, closed_port: int) -> None:
    url = f"{kind}://somebody:secret@127.0.0.1:{closed_port}/studies"
    err = refuses(cli, *arguments(name, url))
    assert f"cannot open the storage {kind}" in err
    assert "secret" not in err


@pytest.mark.sweep
@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_password(cli: Cli, name: str) -> None:
    variable, default, driver, _ = SERVERS["mysql"]
    address = sqlalchemy.make_url(os.environ.get(variable, default)).set(drivername=driver)
    try:
        sqlalchemy.create_engine(address).connect().close()
    except sqlalchemy.exc.OperationalError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"no server answers: {error.orig}")
    url = address.set(username="nobody-knows", password="secret", database="test")
    err = refuses(cli, *arguments(name, url.render_as_string(hide_password=False)))
    assert "Access denied for user 'nobody-knows'" in err
    assert "secret" not in err


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_in_the_place_of_a_database(cli: Cli, name: str, tmp_path: Path) -> None:
    err = refuses(cli, *arguments(name, f"sqlite:///{tmp_path}"))
    assert "there is no database" in err or "unable to open database file" in err


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_is_no_database(cli: Cli, name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("milk, bread\n" * 100)
    err = refuses(cli, *arguments(name, f"sqlite:///{tmp_path}/notes.db"))
    assert "file is not a database" in err


@pytest.mark.sweep(2)
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "doctor"])
def test_a_journal_with_a_line_that_is_none(cli: Cli, name: str, tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    optuna.create_study(storage=open_storage(str(path)), study_name="digits")
    before = path.read_bytes() + b"[1]\n" + path.read_bytes()
    path.write_bytes(before)
    err = refuses(cli, *arguments(name, str(path)))
    assert f"line 2 of the journal {str(path)!r} cannot be used: it is no record: [1]" in err
    assert "`optuna-layerwise doctor` says" in err
    assert path.read_bytes() == before


@pytest.mark.sweep(2)
@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in SERVES | {"doctor"}])
def test_a_journal_in_which_one_study_cannot_be_read(cli: Cli, name: str, tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    for study in ("good", "digits"):
        optuna.create_study(storage=open_storage(str(path)), study_name=study)
    deep = b"[" * 10_000 + b"]" * 10_000
    wrong = b'{"op_code":2,"worker_id":"w","study_id":1,"user_attr":{"olw:data":%s}}\n' % deep
    path.write_bytes(before := path.read_bytes() + wrong)
    code, out, err = run(cli, *arguments(name, str(path), "digits"))
    assert code == 2, (out, err)
    assert is_one_line(err)
    assert "study 'digits' cannot be read: line 3 of the journal is wrong" in err
    assert "'olw:data'" in err
    assert path.read_bytes() == before
    if name in ("status", "report", "compare"):
        given = [part if part != "digits" else "*" for part in arguments(name, str(path))]
        given = [name, "--storage", str(path)] if name == "status" else given
        code, out, err = run(cli, *given)
        assert code == 1
        assert "study 'digits' was left out: line 3 of the journal is wrong" in err


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "doctor"])
def test_a_database_of_an_older_optuna(cli: Cli, name: str, database: Path) -> None:
    execute(database, "UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    err = refuses(cli, *arguments(name, f"sqlite:///{database}"))
    assert "are of another version of Optuna" in err
    assert "optuna-layerwise doctor --repair` upgrades them, and keeps a copy" in err


@pytest.mark.slow
def test_the_doctor_upgrades_a_database_of_an_older_optuna(cli: Cli, database: Path) -> None:
    """With the tables of Optuna 3.1: an index is not there yet."""
    url = f"sqlite:///{database}"
    execute(database, "DROP INDEX ix_trials_study_id")
    execute(database, "UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    indices = (
        "SELECT * FROM sqlite_master WHERE name = 'trials_study_id_key'"  # as the upgrade calls it
    )
    doctor = arguments("doctor", url)
    code, out, err = cli(*doctor)
    assert (code, err) == (1, "")
    assert out.startswith("error: the tables of sqlite:///")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute(indices).fetchall() == []
    code, out, _ = cli(*doctor, "--repair")
    assert code == 0, out
    assert out.startswith("repaired: the tables of sqlite:///")
    assert cli(*doctor)[0] == 0
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert len(connection.execute(indices).fetchall()) == 1


WRITES = ("pause", "resume", "worker", "launch")


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
@pytest.mark.parametrize("name", ["status", "doctor", *WRITES])
def test_only_what_writes_is_refused_by_a_database_that_cannot_be_written(
    name: str, kind: str, healthy: Path, tiny_disk: Callable[[int], Path]
) -> None:
    """In processes of their own: a disk in use cannot be taken away. Nothing is trained."""
    disk = tiny_disk(2**22)
    url = f"{kind}:///{disk}/study.db"
    if kind == "sqlite":
        shutil.copy(healthy, disk / "study.db")
    else:
        copied = optuna.storages.RDBStorage(f"sqlite:///{healthy}"), open_storage(url)
        optuna.copy_study(from_study_name="digits", from_storage=copied[0], to_storage=copied[1])
        close(copied[0])
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    result = outside(*arguments(name, url))
    if name not in WRITES:
        assert (result.returncode, result.stderr) == (0, "")
        return
    assert result.returncode == 2
    assert is_one_line(result.stderr)
    said = ("cannot write to", "unable to open database file")  # SQLite does not open it to write
    assert any(text in result.stderr for text in said)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("place", ["/proc/here/there", "file/there"])
@pytest.mark.parametrize("name", ["tune", "worker", "launch"])
def test_a_folder_that_cannot_be_written_is_noticed_before_the_first_training(
    cli: Cli, tmp_path: Path, name: str, place: str, database: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    err = refuses(cli, *arguments(name, f"sqlite:///{database}"), "--output", place)
    assert "error: cannot write to the folder" in err
    assert "choose another --output" in err
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{database}")
    assert len(study.trials) == 2


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_a_study_whose_name_mariadb_takes_for_the_given_one(cli: Cli, url: str) -> None:
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name="digits")
    for name in COMMANDS:
        command = arguments(name, url, "Dígits")
        if "Dígits" in command:
            refused = refuses(cli, *command)
            assert "'Dígits'" in refused and "'digits'" in refused
    err = refuses(cli, *arguments("tune", url, "Dígits"))
    assert "study 'Dígits' cannot be told apart from 'digits'" in err
    assert len(storage.get_all_studies()) == 1
    assert not Path("optuna-layerwise-runs").exists()
    close(storage)


# --- studies -------------------------------------------------------------------------------------


@pytest.mark.sweep(2)
@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in SERVES | {"tune"}])
def test_an_unknown_study_and_the_nearest(cli: Cli, name: str, database: Path) -> None:
    err = refuses(cli, *arguments(name, f"sqlite:///{database}", "digit"))
    assert "no study 'digit' in sqlite:///" in err
    assert "did you mean 'digits'? there are ['digits']" in err


@pytest.mark.sweep(3)
@pytest.mark.parametrize("directions", [["minimize"], ["minimize", "maximize"]])
@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in SERVES])
def test_a_study_of_another_tool(
    cli: Cli, name: str, directions: list[str], database: Path
) -> None:
    url = f"sqlite:///{database}"
    storage = optuna.storages.RDBStorage(url)
    study = optuna.create_study(storage=storage, study_name="other", directions=directions)
    study.optimize(lambda trial: [trial.suggest_float("x", 0, 1)] * len(directions), n_trials=2)
    before = (study.user_attrs, study.trials)
    command = arguments(name, url, "other")
    if name in ("pause", "stop"):  # whoever made it may heed the order
        assert run(cli, *command)[0] == 0
        return
    if name in LOOKS - ({"compare"} if len(directions) > 1 else set()):
        code, out, err = run(cli, *command)
        assert (code, err) == (0, "")
        assert "other" in out
    else:
        err = refuses(cli, *command)
        assert "study 'other' " in err
        if name in ("tune", "resume", "worker", "launch", "replay"):
            assert "'other' was not created by `optuna-layerwise tune`" in err
    assert (study.user_attrs, study.trials) == before


CORRUPT = {
    "settings": (
        "UPDATE study_user_attributes SET value_json = ? WHERE key = 'olw:settings'",
        '"{\\"version\\": 1, \\"trials\\": \\"many\\"}"',
        "attribute 'olw:settings' of study 'digits' cannot be read: trials: Input should be",
    ),
    "text": (
        "UPDATE study_user_attributes SET value_json = ? WHERE key = 'olw:settings'",
        '{"version": 1, ',
        "attribute 'olw:settings' cannot be read: it is no JSON: '{\"version\": 1, '",
    ),
}


@pytest.mark.sweep(3)
@pytest.mark.parametrize("what", CORRUPT)
@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in SERVES | LOOKS])
def test_settings_that_cannot_be_read(cli: Cli, name: str, what: str, database: Path) -> None:
    statement, stored, said = CORRUPT[what]
    execute(database, statement, stored)
    command = arguments(name, f"sqlite:///{database}")
    if name in ("pause", "stop") and what == "settings":  # they read the other attributes only
        assert run(cli, *command)[0] == 0
    elif name in ("pause", "stop"):  # they add to the order that stands, so they read that
        named = "attribute 'olw:settings' of study 'digits' cannot be read: it is no JSON: "
        assert named in refuses(cli, *command)
    elif name == "export" and what == "settings":  # there is no result either, and it says so
        refuses(cli, *command)
    else:
        assert said in refuses(cli, *command)


def test_an_order_that_is_none_is_one_line_from_a_worker(cli: Cli, database: Path) -> None:
    url = f"sqlite:///{database}"
    optuna.load_study(study_name="digits", storage=url).set_user_attr("olw:control", "\x1b[31m")
    assert "has the order" in refuses(cli, *arguments("worker", url))


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["pause", "stop", "dashboard"])
def test_content_nested_too_deeply_is_one_line(cli: Cli, name: str, database: Path) -> None:
    statement = "UPDATE study_user_attributes SET value_json = ? WHERE key = 'olw:data'"
    execute(database, statement, "[" * 10_000 + "]" * 10_000)
    command = arguments(name, f"sqlite:///{database}")
    named = "attribute 'olw:data' of study 'digits' cannot be read: it is nested more than 100"
    assert named in refuses(cli, *command)


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    ("name", "statement", "said"),
    [
        *(
            (name, "UPDATE study_directions SET direction = ?", "cannot be read: 'other' is not")
            for name in ("pause", "stop", "dashboard")
        ),
        (
            "dashboard",
            "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (1, 'k', ?)",
            "attribute 'k' of study 'digits' cannot be read: it is no JSON: 'other'",
        ),
        (
            "report",
            "INSERT INTO trial_intermediate_values (trial_id, intermediate_value, "
            "intermediate_value_type, step) VALUES (1, 0.5, 'FINITE', ?)",
            "'other' as a step",
        ),
    ],
)
def test_a_column_that_holds_something_else_is_one_line(
    cli: Cli, name: str, statement: str, said: str, database: Path
) -> None:
    execute(database, statement, "other")
    assert said in refuses(cli, *arguments(name, f"sqlite:///{database}"))


@pytest.mark.sweep(2)
@pytest.mark.parametrize("what", CORRUPT)
@pytest.mark.parametrize("name", sorted(LOOKS))
def test_commands_that_look_break_on_nothing(
    cli: Cli, name: str, what: str, database: Path
) -> None:
    statement, stored, said = CORRUPT[what]
    execute(database, statement, stored)
    code, out, err = run(cli, *arguments(name, f"sqlite:///{database}"))
    assert "Traceback" not in out + err
    assert code == 0 or (code == 1 and name == "doctor") or is_one_line(err)
    if name == "doctor":
        assert "'olw:settings'" in out
        assert out.count("\n") == 2


def test_a_run_that_cannot_be_read_is_named_where_it_matters(cli: Cli, database: Path) -> None:
    storage = open_storage(f"sqlite:///{database}")
    study = optuna.load_study(study_name="digits", storage=storage)
    attributes = {RUN_KEY: {"policy": "__import__('os').system('touch owned')"}}
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs=attributes))
    close(storage)
    named = "attribute 'olw:run' of trial 2 of study 'digits' cannot be read: policy: Input"
    command = arguments("compare", f"sqlite:///{database}")
    with pytest.warns(UserWarning, match="attribute 'olw:run' of trial 2") as warned:
        assert cli(*command)[0] == 0
    assert len([w for w in warned if named in str(w.message)]) == 1
    assert not Path("owned").exists()


# --- options -------------------------------------------------------------------------------------

ABSURD = {int: ("-1", str(10**12)), float: ("-1", "nan", "inf"), str: ("nonsense?",), list: ("=",)}
"""Kind of an option to values of it that make no sense."""
FREE = {
    # options that take any text, or whose values are told to others
    *(
        "study",
        "output",
        "data_root",
        "to",
        "ray_address",
        "partition",
        "storage",
        "group",
        "host",
    ),
    *("data", "patience_seconds", "group_by", "weights"),
}
CLOSED = {"trial"}
"""A number of a trial that there is not."""


def kind_of(parameter: Any) -> Any:
    annotation = parameter.type_descriptor.annotation
    return getattr(annotation, "__origin__", annotation)


@pytest.mark.sweep(12)
@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        (name, parameter.opts[0], value)
        for name, command in COMMANDS.items()
        for parameter in command.params
        if parameter.name not in FREE | CLOSED
        for value in ABSURD.get(kind_of(parameter), ())
        if parameter.opts[0].startswith("-")
    ],
)
def test_a_value_that_makes_no_sense_is_one_line_that_names_the_option_as_typed(
    cli: Cli, name: str, option: str, value: str, database: Path
) -> None:
    command = arguments(name, f"sqlite:///{database}")
    if name == "tune":  # nothing of the healthy study
        command = [*command[:-1], "other", "--no-work"]
    err = refuses(cli, *command, f"{option}={value}")
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", err)


# --- from outside --------------------------------------------------------------------------------


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["status", "doctor"])
def test_a_process_of_its_own_says_one_line_and_needs_no_torch(name: str, database: Path) -> None:
    result = outside(*arguments(name, f"sqlite:///{database}", "digit"))
    assert result.returncode == 2
    assert result.stdout == ""
    assert is_one_line(result.stderr)
    assert "did you mean 'digits'" in result.stderr


def test_a_warning_is_one_line_too(database: Path) -> None:
    execute(
        database,
        "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (1, ?, '3')",
        RUN_KEY,
    )
    result = outside(*arguments("compare", f"sqlite:///{database}"))
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if "'olw:run'" in line]
    assert len(lines) == 1
    assert lines[0].startswith("warning: attribute 'olw:run' of trial 0 of study 'digits'")


@pytest.mark.sweep
@pytest.mark.parametrize("command", ["status", "doctor"])
def test_a_command_without_words_in_an_empty_folder_is_one_line(
    command: str, tmp_path: Path
) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "optuna_layerwise.cli", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if k != "OPTUNA_LAYERWISE_STORAGE"}
        | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.returncode == 2
    assert run.stderr.startswith("error: ") and run.stderr.count("\n") == 1
