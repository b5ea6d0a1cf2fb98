"""The tables of `results/`: `python -m benchmarks.reliability.table`."""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import read
from benchmarks.reliability import hostile, together

RESULTS = Path(__file__).parent / "results"
_COUNTED = (
    "lost",
    "done_twice",
    "off_target",
    "unfinished",
    "died",
    "at_once",
    "steps_repeated",
)
_HEADS = (
    "finished trials lost",
    "done twice",
    "off target",
    "left unfinished",
    "workers that died of an error",
    "trials run by two for a while",
    "steps repeated",
)


def table(folder: Path) -> str:
    """All tables, as Markdown."""
    parts = [
        "# Reliability\n\nMade by `python -m benchmarks.reliability.table`; "
        "what the columns count is said in `figures.py`.",
        _section(
            "Killed workers",
            read(folder / "kills.jsonl"),
            ("storage", "sampler", "workers"),
            ("kills",),
        ),
        _section(
            "Servers restarted, disks filled",
            read(folder / "outages.jsonl"),
            ("what", "storage", "workers"),
            ("times",),
        ),
        _section(
            "Machines whose clocks are an hour apart",
            read(folder / "hosts.jsonl"),
            ("storage", "workers"),
            ("kills", "stops", "seconds_to_takeover"),
        ),
        _faults(
            "Two commands at once, by storage",
            read(folder / "together.jsonl"),
            ("storage",),
            ("rounds", "stops"),
            together.COUNTED,
        ),
        _faults(
            "Two commands at once, by pair",
            read(folder / "together.jsonl"),
            ("pair",),
            ("rounds", "stops"),
            together.COUNTED,
        ),
        _faults(
            "Hostile content, by table of the database",
            read(folder / "hostile.jsonl"),
            ("table",),
            ("places", "values", "values_of", "cases"),
            hostile.COUNTED,
        ),
        _throughput(read(folder / "throughput.jsonl")),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(
    title: str, records: list[dict[str, Any]], names: Sequence[str], deeds: Sequence[str]
) -> str:
    if not records:
        return ""
    columns = (*names, *(d.replace("_", " ") for d in deeds), "trials", *_HEADS, "as left alone")
    rows = [
        [
            *(record[name] for name in (*names, *deeds)),
            record["finished"],
            *(record[name] for name in _COUNTED),
            {True: "yes", False: "**no**"}.get(record.get("identical", ""), ""),
        ]
        for record in records
    ]
    counts = [deed for deed in deeds if not deed.startswith("seconds")]
    whole = [
        "all",
        *[""] * (len(names) - 1),
        *(sum(r[deed] for r in records) if deed in counts else "" for deed in deeds),
        *(sum(r[name] for r in records) for name in ("finished", *_COUNTED)),
        f"{sum(r.get('identical', False) for r in records)} of "
        f"{sum('identical' in r for r in records)}",
    ]
    return f"## {title}\n\n" + _markdown(columns, [*rows, whole])


def _faults(
    title: str,
    records: list[dict[str, Any]],
    names: Sequence[str],
    deeds: Sequence[str],
    counted: Mapping[str, str],
) -> str:
    """Sums over the records of one code that are equal in ``names``; what is counted, below."""
    if not records:
        return ""
    cells: dict[tuple[str, ...], Counter[str]] = {}
    for record in records:
        pair = " + ".join(record.get("pair", ()))
        shown = {**record, "pair": pair, "table": record.get("place", "").partition(".")[0]}
        for part in (*(str(shown[name]) for name in names), "**all**"):
            cell = cells.setdefault((record["commit"][:7], part), Counter())
            cell.update({name: record[name] for name in (*deeds, *counted) if name in record})
            cell["places"] += 1
    columns = ("code", *names, *(n.replace("_", " ") for n in (*deeds, *counted)))
    rows = [[*key, *(cell[name] for name in (*deeds, *counted))] for key, cell in cells.items()]
    meaning = "\n".join(f"* {name.replace('_', ' ')}: {says}" for name, says in counted.items())
    return f"## {title}\n\n" + _markdown(columns, rows) + f"\n\n{meaning}"


def _throughput(records: list[dict[str, Any]]) -> str:
    """Medians over turns, with the lowest and the highest of what is a goal."""
    if not records:
        return ""
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for record in records:
        cells.setdefault((record["storage"], record["workers"], record["who"]), []).append(record)
    parts = ("worker, CPU", "server, CPU", "waiting for statements", "all")
    columns = ("storage", "workers", "who", "turns", "trials", "trials/s (lowest to highest)")
    columns += ("statements/trial", "commits/trial", *(f"ms/trial: {part}" for part in parts))
    rows = []
    for names, turns in cells.items():
        speeds = [turn["trials_per_second"] for turn in turns]
        speed = f"{statistics.median(speeds):.1f} ({min(speeds):.1f} to {max(speeds):.1f})"
        rows.append(
            [
                *names,
                len(turns),
                *sorted({turn["finished"] for turn in turns}),
                speed,
                *(
                    f"{statistics.median(turn[name] for turn in turns):.1f}"
                    for name in ("statements_per_trial", "commits_per_trial")
                ),
                *(
                    f"{statistics.median(turn['ms_per_trial'][part] for turn in turns):.0f}"
                    for part in parts
                ),
                sum(turn["deadlocks"] for turn in turns),
                "; ".join(sorted({error for turn in turns for error in turn["errors"]})),
            ]
        )
    return "## Throughput\n\n" + _markdown((*columns, "deadlocks", "errors"), rows)


def _markdown(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join("" if c is None else str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    folder = parser.parse_args(arguments).results
    (folder / "reliability.md").write_text(table(folder))


if __name__ == "__main__":
    main()
