"""Database servers of our own, to be crashed: other ports and folders than any that runs here."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy

_SECONDS = 60.0


@dataclasses.dataclass
class Server:
    """A server on loopback that is started, crashed and stopped at will.

    Attributes:
        url: Its address, without a database.
        command: What runs it in the foreground.
        quick: The signal of a stop in order that waits for no client.
        crash: The signal of one without order: what was not on disk has to be recovered.
    """

    url: str
    command: list[str]
    quick: signal.Signals
    crash: signal.Signals
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool)
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                with engine.connect():
                    return
            except sqlalchemy.exc.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self, *, crash: bool) -> None:
        """Every connection is gone."""
        assert self.process is not None
        self.process.send_signal(self.crash if crash else self.quick)
        self.process.wait(_SECONDS)

    @property
    def cpu_seconds(self) -> float:
        """Of all its processes so far, on Linux."""
        assert self.process is not None
        ticks = _ticks(self.process.pid)
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            ticks += sum(_ticks(int(child)) for child in path.read_text().split())
        return ticks / os.sysconf("SC_CLK_TCK")

    def deadlocks(self) -> int:
        """That it has broken so far."""
        said = {
            "postgresql": "SELECT sum(deadlocks) FROM pg_stat_database",
            "mysql": "SELECT variable_value FROM information_schema.global_status "
            "WHERE variable_name = 'INNODB_DEADLOCKS'",
        }
        engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            return int(connection.execute(sqlalchemy.text(said[engine.name])).scalar() or 0)

    def database(self, name: str) -> str:
        """The address of a new database."""
        engine = sqlalchemy.create_engine(
            self.url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        return sqlalchemy.make_url(self.url).set(database=name).render_as_string()


def missing(kind: str) -> str:
    """Why a server of this kind cannot be made here; empty if it can."""
    wanted = {"postgresql": ("initdb", "postgres"), "mysql": ("mariadb-install-db", "mariadbd")}
    absent = [name for name in wanted[kind] if _program(name) is None]
    return f"{' and '.join(absent)} cannot be found" if absent else ""


@contextlib.contextmanager
def server(kind: str, folder: Path, *, durable: bool = False) -> Iterator[Server]:
    """A running server with its data in a new folder.

    Args:
        kind: ``postgresql`` or ``mysql``.
        folder: Does not exist.
        durable: Whether commits survive a crash of the machine, as by default they do; else
            only one of the server.

    Raises:
        FileNotFoundError: if its programs are not installed.
    """
    if reason := missing(kind):
        raise FileNotFoundError(reason)
    folder.mkdir(parents=True)
    made = _postgresql(folder, durable) if kind == "postgresql" else _mariadb(folder, durable)
    made.start()
    try:
        yield made
    finally:
        made.stop(crash=True)


def _postgresql(folder: Path, durable: bool) -> Server:
    """One that root cannot run: it gets the folder of user postgres."""
    data, port = folder / "data", _free_port()
    prefix: list[str] = []
    if os.getuid() == 0:
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for parent in (folder, *folder.parents):  # pytest's folders are root's alone
            if parent.stat().st_uid == 0 and parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
        shutil.chown(folder, "postgres", "postgres")
    initdb = [_found("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run([*prefix, *initdb], check=True, capture_output=True, cwd="/")
    options = [f"-cport={port}", f"-cunix_socket_directories={folder}", "-cmax_connections=200"]
    command = [*prefix, _found("postgres"), "-D", str(data), "-clisten_addresses=127.0.0.1"]
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    if not durable:
        options.append("-cfsync=off")
    return Server(url, [*command, *options], signal.SIGINT, signal.SIGQUIT)


def _mariadb(folder: Path, durable: bool) -> Server:
    data, port = folder / "data", _free_port()
    common = ["--no-defaults", f"--datadir={data}"]
    if os.getuid() == 0:
        common.append("--user=root")
    install = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    command = [_found("mariadb-install-db"), *common, *install]
    subprocess.run(command, check=True, capture_output=True)
    options = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket"]
    options += [f"--pid-file={folder}/pid", "--max-connections=200"]
    if not durable:
        options.append("--innodb-flush-log-at-trx-commit=2")
    url = f"mysql+pymysql://root@127.0.0.1:{port}"
    return Server(url, [_found("mariadbd"), *common, *options], signal.SIGTERM, signal.SIGKILL)


def _ticks(pid: int) -> int:
    """Of a process and of its children that are over: user, system."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return sum(int(field) for field in stat.rpartition(")")[2].split()[11:15])


def _program(name: str) -> str | None:
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(newest[-1]) if newest else shutil.which(name, path=f"{os.defpath}:/usr/sbin:/sbin")


def _found(name: str) -> str:
    program = _program(name)
    assert program is not None
    return program


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
