"""The results of a benchmark: one JSON line per finished cell, and where it came from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("optuna-layerwise", "optuna", "torch", "torchvision", "numpy")


def read(path: Path) -> list[dict[str, Any]]:
    """All lines, none if there is no such file.

    Raises:
        ValueError: if a line is not whole.
    """
    records = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"line {number} of {path} is not JSON ({error}); delete it"
            ) from error
    return records


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add one line, which is on disk on return; several processes may append to one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write((json.dumps(record, allow_nan=False) + "\n").encode())
        os.fsync(file.fileno())


def provenance(*, device: str, threads: int, commit: str | None = None) -> dict[str, Any]:
    """Code, packages and device, without names of machines or paths.

    Args:
        device: The name of what trains.
        threads: Of torch on the CPU.
        commit: Of a copy without its git repository; ``-dirty`` at its end marks changes.
    """
    return {
        **(_git() if commit is None else _given(commit)),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": device,
        "threads": threads,
    }


def processor() -> str:
    """The CPU's name, family and model: generations that round otherwise may share a name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        found = {key.strip(): value.strip() for key, _, value in lines}
        if "model name" in found:
            family, model = found.get("cpu family", "?"), found.get("model", "?")
            return f"{found['model name']}, family {family}, model {model}"
    return platform.processor() or platform.machine()


def _git() -> dict[str, Any]:
    """The commit, and whether any Python file differs from it."""
    try:
        return {
            "commit": _run("git", "rev-parse", "HEAD"),
            "dirty": bool(_run("git", "status", "--porcelain", "--", "*.py")),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _given(commit: str) -> dict[str, Any]:
    return {"commit": commit.removesuffix("-dirty"), "dirty": commit.endswith("-dirty")}


def _run(*command: str) -> str:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return result.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None  # run from its source tree
