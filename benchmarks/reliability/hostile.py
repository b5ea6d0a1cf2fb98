"""What can somebody do who writes to the database? `python -m benchmarks.reliability.hostile`.

Every stored key and column gets every hostile value, one at a time, in the rows of a finalized and
of an unfinished study; then every command that takes a database is run on a fresh copy. Beside
the studies lie files that nobody may run, read out, delete or overwrite, and a study that nobody
may change.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from benchmarks.records import append, processor, provenance, read
from benchmarks.reliability.arena import TUNE, Arena
from benchmarks.reliability.forked import preload
from benchmarks.reliability.hostile_values import CRAFTED, Place, places, values

OUTPUT = Path(__file__).parent / "results" / "hostile.jsonl"
COUNTED = {
    "run": "code that a stored value names is run",
    "served": "a file from outside is printed, copied, linked or served",
    "deleted": "a file from outside, or of another study, is deleted",
    "overwritten": "such a file is overwritten",
    "made_outside": "a new file is made among them: the folder for output may be any",
    "opened_twice": "the test split of a finalized study is opened again",
    "result_changed": "a stored result is not there any more as it was",
    "other_changed": "the rows of another study are changed",
    "escapes": "control characters are printed",
    "markup": "a page or a card has HTML from the database",
    "tracebacks": "a command ends in a traceback",
    "hung": "a command does not end within its time, or dies of a signal",
}
"""What is counted, in cases; all but ``made_outside`` have to be 0."""
VARIANTS = {
    # What a command is given beside --storage and --study; others are given nothing.
    "tune": [TUNE],
    "doctor": [[], ["--repair"], ["--replay"]],
    "status": [[], ["--json"]],
    "report": [["-o", "{out}/report.html"], ["-o", "{out}/report.md"]],
    "export": [["--to", "{out}/exported"]],
    "dashboard": [["--port", "0"]],
}
SKIPPED = {"bench": "reads no study", "launch": "starts `worker`, which is run"}


def commands() -> list[list[str]]:
    """What to run, read from the command line itself, with ``{url}`` and ``{out}`` to fill in."""
    from optuna_layerwise.cli.app import app

    group: Any = typer.main.get_command(app)
    found = []
    for name in group.list_commands(None):
        options = {o for p in group.get_command(None, name).params for o in p.opts}
        if name in SKIPPED or "--storage" not in options:
            continue
        for variant in VARIANTS.get(name, [[]]):
            for study in ("open", "leaves") if "--device" in options else ("leaves",):
                named = ["--study", study] if "--study" in options else []
                found.append([name, *variant, *named, "--storage", "{url}"])
    return found


def cell(
    arena: Arena, place: Place, wanted: Sequence[str], most: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The values at one place: how many cases went wrong in which way, and each of them."""
    arena.restore()
    offered = values(place, arena.stored(place), arena.canaries)
    always = [name for name in offered if name.startswith(CRAFTED)]
    others = sorted(set(offered) - set(always))
    chosen = always + random.Random(str(place)).sample(others, min(most, len(others)))
    total, failed = Counter(dict.fromkeys(COUNTED, 0)), []
    cases, started = 0, time.perf_counter()
    for name in chosen:
        for command in commands():
            if wanted and command[0] not in wanted:
                continue
            arena.restore()
            with contextlib.suppress(sqlite3.IntegrityError):
                arena.write(place, offered[name])
            given = [part.format(url=arena.url, out=arena.out) for part in command]
            if place.column == "study_name" and "\0" not in offered[name]:
                given = [offered[name] if part == "leaves" else part for part in given]
            found, said = arena.attempt(given)
            cases += 1
            total.update(dict.fromkeys(found, 1))
            if found:
                case = {"place": str(place), "value": name, "command": given}
                failed.append({**case, "found": dict(found), "said": said[-3000:]})
    deeds = {"place": str(place), "values": len(chosen), "values_of": len(offered)}
    seconds = round(time.perf_counter() - started, 1)
    return {**deeds, "cases": cases, "seconds": seconds, **total}, failed


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    os.environ.pop("OPTUNA_LAYERWISE_STORAGE", None)
    preload()
    origin = provenance(device=processor(), threads=1, commit=args.commit)
    deadline = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as temporary:
        arena = Arena(Path(temporary))
        part, parts = args.part
        for number, place in enumerate(places(arena.database)):
            if number % parts != part or time.monotonic() > deadline:
                continue
            if args.places and not any(name in str(place) for name in args.places):
                continue
            done = [r["place"] for r in read(args.output) if r["commit"] == origin["commit"]]
            if str(place) in done:
                continue
            record, failed = cell(arena, place, args.commands, args.most)
            append(args.output, {**origin, **record})
            print({name: value for name, value in record.items() if value}, flush=True)
            if args.failures is not None:
                with args.failures.open("a") as file:
                    file.writelines(json.dumps(case) + "\n" for case in failed)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", nargs="+", help="only those with one of these in their name")
    parser.add_argument("--commands", nargs="+", default=[], help="only these")
    parser.add_argument(
        "--most",
        type=int,
        default=10**6,
        help="values of a place, drawn at random, beside those that were made for it",
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no place after so many")
    parser.add_argument("--part", nargs=2, type=int, default=[0, 1], help="0 2 and 1 2: halves")
    parser.add_argument("--failures", type=Path, help="file that gets every failed case, as JSON")
    parser.add_argument("--commit", help="of a copy of the code that is no repository")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
