"""Run the committed contests: what samplers find on the tables, and what our defaults hang on.

    python -m benchmarks.layerbench.contests main workers variants --processes 2

``main`` is what `python -m benchmarks.protocols layerbench` does without contestants. A search
that is finished is not run again. Where a contest came from is appended to ``provenance.jsonl``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.layerbench.design import CONTESTS
from benchmarks.layerbench.searches import CONTESTANTS, layerbench_command
from benchmarks.records import append, processor, provenance, read


@dataclasses.dataclass(frozen=True)
class Contest:
    """Contestants, searches of a set, and whether in batches or by asynchronous workers."""

    contestants: tuple[str, ...]
    seeds: int
    mode: str = "batches"


WORKERS = (
    *("random/profile", "cmaes/continuous", "nsga2/binary"),
    *("biotune/biotune", "catcmawm/binary", "catcmawm/hybrid", "catcmawm/profile"),
)
_OF_MOBILENET = ("stem", "stage1", "stage2", "stage3", "stage4", "last_conv")
_BITS = json.dumps({f"train/{b}": [0.2, 0.8] for b in _OF_MOBILENET}, separators=(",", ":"))
FOUR_OF_FIVE = {
    **{e: f"catcmawm/{e}+probabilities={_BITS}" for e in ("binary", "profile", "hybrid")},
    "biotune": 'catcmawm/biotune+mean={"imp/__threshold__":0.3258}',  # see `Threshold.genes`
}
"""Encoding to a contestant that begins with four blocks of five trained, not one in two."""
VARIANTS = (
    *("biotune/profile", "biotune/binary", "biotune/biotune+recipes=true"),
    *("biotune/biotune+preset=paper", "tpe/biotune"),
    *("catcmawm/biotune+recipes=true", "catcmawm/full+recipes=true"),
    *("catcmawm/binary+recipes=true", "catcmawm/profile+recipes=true"),
    *("catcmawm/hybrid+recipes=true", "catcmawm/continuous+recipes=true"),
    *("catcmawm/binary+population=6", "catcmawm/binary+population=16"),
    *("catcmawm/binary+surrogate=false", "catcmawm/binary+spread=0.25"),
    *("catcmawm/binary+preset=paper", "catcmawm/biotune", *FOUR_OF_FIVE.values()),
    "catcmawm/profile+surrogate=false+recipes=true",
    "catcmawm/profile+population=6+recipes=true",
    "catcmawm/profile+population=16+recipes=true",
)
ALL = {
    "main": Contest(CONTESTANTS, 50),
    "workers": Contest(WORKERS, 30, "workers"),
    "variants": Contest(VARIANTS, 30),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=sorted(ALL))
    parser.add_argument("--sets", nargs="+", help="default all tables")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    for name in args.names:
        output, contest = CONTESTS / f"{name}.jsonl", ALL[name]
        with recorded(output, args.sets, args.processes):
            layerbench_command(
                list(contest.contestants),
                sets=args.sets,
                mode=contest.mode,
                seeds=contest.seeds,
                processes=args.processes,
                output=output,
            )


@contextmanager
def recorded(output: Path, sets: Sequence[str] | None, processes: int) -> Iterator[None]:
    """Appends where the searches came from that are added to a file."""
    before, started = searches(output, sets), time.perf_counter()
    yield
    made = {"contest": output.stem, "sets": sets, "searches": searches(output, sets) - before}
    made |= {"seconds": round(time.perf_counter() - started), "processes": processes}
    made |= provenance(device=processor(), threads=1)
    append(output.with_name("provenance.jsonl"), made)


def searches(path: Path, sets: Sequence[str] | None) -> int:
    """That a file has of some sets, or of all."""
    return sum(sets is None or cell["set"] in sets for cell in read(path))


if __name__ == "__main__":
    main()
