"""How long do commands take that only look or refuse? `python benchmarks/start_up.py`.

Each command is started in turn with a bare ``import optuna`` by the same interpreter, so that what
else the machine does meets both. A row has the medians and their ratio; the goal is at most 3. The
newest row of each command stands in the table beside the rows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import optuna

from benchmarks.records import append, processor, provenance, read

OUTPUT = Path(__file__).parent / "results" / "start_up.jsonl"
BARE = [sys.executable, "-c", "import optuna"]
COMMANDS = {
    "help": ["--help"],
    "version": ["--version"],
    "help of tune": ["tune", "--help"],
    "help of status": ["status", "--help"],
    "unknown command": ["unknown"],
    "bad option": ["tune", "--unknown"],
    "bad value": ["tune", "--sampler", "unknown"],
    "missing database": ["status", "--storage", "sqlite:///absent.db"],
    "status, SQLite": ["status", "--storage", "sqlite:///here.db"],
    "status, journal": ["status", "--storage", "journal:///here.log"],
}


def main() -> None:
    """Measure every command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--commit", help="of a copy without its git repository")
    given = parser.parse_args()
    output = given.output.absolute()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    source = provenance(device=processor(), threads=1, commit=given.commit)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for url in ("sqlite:///here.db", "journal:///here.log"):
            study = optuna.create_study(storage=_opened(url), study_name="one")
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=20)
        program = [sys.executable, "-m", "optuna_layerwise.cli"]
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
        bare: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
        for words in (BARE, *([*program, *words] for words in COMMANDS.values())):
            _measured(words)  # writes the bytecode
        for _ in range(given.rounds):
            for name, words in COMMANDS.items():
                bare[name].append(_measured(BARE))
                seconds[name].append(_measured([*program, *words]))
        for name in COMMANDS:
            append(output, _row(name, bare[name], seconds[name]) | {"provenance": source})
    output.with_suffix(".md").write_text(table(read(output)), encoding="utf-8")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The newest row of each command, in Markdown."""
    newest = {row["command"]: row for row in rows}
    lines = [
        "| command | times `import optuna`, by the clock | by the processor | rounds | load |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in newest.items():
        ratios = f"{row['ratio']:.2f} | {row['cpu_ratio']:.2f}"
        lines.append(f"| {name} | {ratios} | {row['rounds']} | {row['load']} |")
    return "\n".join(lines) + "\n"


def _opened(url: str) -> Any:
    from optuna_layerwise.storage import open_storage

    return open_storage(url)


def _measured(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor, with the bytecode that an installation has."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = os.path.abspath("bytecode")
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def _row(
    name: str, bare: list[tuple[float, float]], ours: list[tuple[float, float]]
) -> dict[str, Any]:
    clock, cpu = (
        {
            "import optuna": round(statistics.median(t[kind] for t in bare), 3),
            "command": round(statistics.median(t[kind] for t in ours), 3),
        }
        for kind in (0, 1)
    )
    return {
        "command": name,
        "rounds": len(ours),
        "seconds": clock,
        "cpu_seconds": cpu,
        "ratio": round(clock["command"] / clock["import optuna"], 2),
        "cpu_ratio": round(cpu["command"] / cpu["import optuna"], 2),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
