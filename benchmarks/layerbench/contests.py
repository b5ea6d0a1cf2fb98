"""Run the committed contests: what samplers find on the tables, and what our defaults hang on.

    python -m benchmarks.layerbench.contests main workers variants --processes 2

``main`` is what `optuna-layerwise bench layerbench` does without contestants. A search that is
finished is not run again. Where a contest came from is appended to ``provenance.jsonl``.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

from benchmarks.layerbench.design import CONTESTS
from benchmarks.records import append, processor, provenance, read
from optuna_layerwise.cli.bench import CONTESTANTS, layerbench_command


@dataclasses.dataclass(frozen=True)
class Contest:
    """Contestants, and whether they search in batches or as asynchronous workers."""

    contestants: tuple[str, ...]
    mode: str = "batches"


WORKERS = (
    *("random/profile", "cmaes/continuous", "nsga2/binary"),
    *("biotune/biotune", "biotune/biotune+reproduction=batched"),
    *("catcmawm/binary", "catcmawm/hybrid", "catcmawm/profile"),
)
VARIANTS = (
    *("biotune/profile", "biotune/binary", "catcmawm/biotune", "catcmawm/full"),
    *("biotune/biotune+recipes=true", "biotune/biotune+preset=paper"),
    *("catcmawm/profile+recipes=false", "catcmawm/binary+recipes=false"),
    *("catcmawm/profile+surrogate=false", "catcmawm/binary+surrogate=false"),
    *("catcmawm/profile+population=6", "catcmawm/profile+population=16"),
    "catcmawm/binary+preset=paper",
)
ALL = {
    "main": Contest(CONTESTANTS),
    "workers": Contest(WORKERS, "workers"),
    "variants": Contest(VARIANTS),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=sorted(ALL))
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    for name in args.names:
        output, contest = CONTESTS / f"{name}.jsonl", ALL[name]
        before, started = len(read(output)), time.perf_counter()
        layerbench_command(
            list(contest.contestants),
            mode=contest.mode,
            seeds=args.seeds,
            processes=args.processes,
            output=output,
        )
        made = {"contest": name, "searches": len(read(output)) - before}
        made |= {"seconds": round(time.perf_counter() - started), "processes": args.processes}
        made |= provenance(device=processor(), threads=1)
        append(CONTESTS / "provenance.jsonl", made)


if __name__ == "__main__":
    main()
