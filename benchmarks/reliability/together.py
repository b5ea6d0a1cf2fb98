"""What if two commands meet in one study? `python -m benchmarks.reliability.together`.

Two commands that write to a study are begun within half a second of each other: a `tune`, another
with other settings, one that only creates the study, a finalization, the doctor and its repairs,
each with each. In every second round one of the two is stopped for a second at a random moment.
Then the study is compared with what both have printed and done.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import typer

from benchmarks.records import append, processor, provenance, read
from benchmarks.reliability.forked import HUNG, QUICK_END, Running, fork, preload, start
from benchmarks.reliability.places import KINDS, place

OUTPUT = Path(__file__).parent / "results" / "together.jsonl"
COUNTED = {
    "opened_twice": "the test split is opened more than once",
    "overwritten": "a stored result is replaced by another",
    "mixed": "trials of two settings in one study, or both commands go on with theirs",
    "enqueued_twice": "a recipe is enqueued more than once",
    "lost": "another study of the database changed, or a finished trial is gone",
    "no_winner": "none of two commands that may go on did, or a finalization left no result",
    "turned_away": "a command ends because another finalizes the study; it may be run again",
    "tracebacks": "a command ends in a traceback",
    "hung": "a command does not end within its time",
    "unhealthy": "the doctor finds an error afterwards",
}
"""What is counted; all but ``turned_away`` have to be 0."""
SECONDS = 120.0
TARGET = 3
_TUNE = ["tune", "--data", "digits", "--epochs", "1", "--trials", str(TARGET), "--sampler", "tpe"]
_TUNE += ["--seed-recipes", "--finalists", "1", "--final-seeds", "1", "--no-live", *QUICK_END]
ACTIONS = {
    "tune": _TUNE,
    "other tune": [*_TUNE, "--lr", "0.02"],
    "create": [*_TUNE, "--no-work"],
    "finalize": ["worker", "--finalize"],  # or the command of that name, where there is one
    "doctor": ["doctor"],
    "repair": ["doctor", "--repair"],
}
PAIRS = list(itertools.combinations_with_replacement(ACTIONS, 2))
_BEGINS = ("tune", "other tune", "create")


class Rounds:
    """Rounds of one pair of commands on one database.

    Args:
        pair: Two of `ACTIONS`.
        url: Of the database.
        folder: For logs and what commands write.
    """

    def __init__(self, pair: tuple[str, str], url: str, folder: Path) -> None:
        self.pair = pair
        self.url = url
        self.folder = folder
        self.openings = folder / "openings"
        self._numbers = itertools.count()
        self._seen: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, moments: random.Random, *, stops: bool) -> tuple[Counter[str], str]:
        """One round in a new study; what went wrong, and the end of what was printed then."""
        prepared = not set(self.pair) & set(_BEGINS) or "finalize" in self.pair
        if prepared:
            self.prepare(name)
        self.openings.write_text("")
        before = self._seen
        running: list[Running] = []
        for action in self.pair:
            running.append(self.begin(action, name))
            time.sleep(moments.uniform(0, 0.5))
        if stops:
            _stop_for_a_second(moments.choice(running), moments)
        first = None
        while not all(one.is_over() for one in running):
            if first is None and any(one.is_over() for one in running):
                first = self.facts(name).get("final")
            for one in running:
                if time.monotonic() - one.started > SECONDS:
                    one.wait(0)
            time.sleep(0.02)
        after = self.facts(name)
        found = self._judge(name, running, first, after, before)
        self._seen = after["studies"]
        said = "\n".join(f"--- {a}: {r.code}\n{r.output[-1500:]}" for a, r in self._ended(running))
        return found, said

    def _ended(self, running: list[Running]) -> list[tuple[str, Running]]:
        return list(zip(self.pair, running, strict=True))

    def prepare(self, name: str) -> None:
        """A study that has reached its target, and has not been finalized."""
        for command in (ACTIONS["create"], ["worker"]):
            made = self._start(command, name)
            if made.wait(SECONDS) != 0:
                raise RuntimeError(f"no study could be prepared: {made.output}")
        if "repair" in self.pair:  # something to repair
            self._child(lambda: _abandon(self.url, name))

    def begin(self, action: str, name: str) -> Running:
        """Start one of `ACTIONS`."""
        command = ACTIONS[action]
        if action == "finalize" and "finalize" in commands():
            command = ["finalize"]
        return self._start(command, "" if command[0] == "doctor" else name)

    def facts(self, name: str) -> dict[str, Any]:
        """What the database holds now of the study and of the others."""
        answer = self.folder / f"facts-{next(self._numbers)}.json"
        self._child(lambda: answer.write_text(json.dumps(_facts(self.url, name))))
        found: dict[str, Any] = json.loads(answer.read_text())
        return found

    def _start(self, command: list[str], name: str) -> Running:
        log = self.folder / f"log-{next(self._numbers)}"
        study = ["--study", name] if name else []
        arguments = [*command, "--storage", self.url, *study]
        return start(arguments, log, folder=self.folder, openings=self.openings)

    def _child(self, function: Any) -> None:
        made = fork(function, self.folder / f"log-{next(self._numbers)}", folder=self.folder)
        if made.wait(SECONDS) != 0:
            raise RuntimeError(made.output)

    def _judge(
        self,
        name: str,
        running: list[Running],
        first: Any,
        after: dict[str, Any],
        before: dict[str, Any],
    ) -> Counter[str]:
        ended = self._ended(running)
        turned_away = [
            one for one in running if one.code and "is being finalized by" in one.output
        ]
        begun = [a for a, one in ended if a in _BEGINS]
        won = [a for a, one in ended if a in begun and (one.code == 0 or one in turned_away)]
        may = [a for a in begun if a != "other tune"] if "finalize" in self.pair else begun
        alike = len({a == "other tune" for a in may}) < 2
        reached = any(a == "tune" and one.code == 0 for a, one in ended)
        opened = len(self.openings.read_text().splitlines())
        lost = sum(after["studies"].get(other) != theirs for other, theirs in before.items())
        found = Counter(
            opened_twice=max(0, opened - 1),
            overwritten=int(first is not None and after["final"] != first),
            mixed=int(len(after["setups"]) > 1 or len(won) > (len(may) if alike else 1)),
            enqueued_twice=after["enqueued"] - len(set(after["recipes"])),
            lost=lost + int(reached and after["finished"] < TARGET),
            no_winner=int(
                len(won) < (len(may) if alike else 1)
                or ("finalize" in self.pair and after["final"] is None)
            ),
            turned_away=len(turned_away),
            tracebacks=sum("Traceback (most recent" in one.output for one in running),
            hung=sum(one.code == HUNG for one in running),
        )
        check = self._start(["doctor", "--json"], "")
        check.wait(SECONDS)
        with contextlib.suppress(ValueError, IndexError):
            line = re.findall(r"^\{.*\}$", check.output, re.M)[-1]
            findings = json.loads(line)["findings"]
            wrong = [f for f in findings if f["severity"] == "error" and f["study"] == name]
            found["unhealthy"] = len(wrong)
        return +found


def commands() -> list[str]:
    """Names of the commands, from the command line itself."""
    from optuna_layerwise.cli.app import app

    group: Any = typer.main.get_command(app)
    return list(group.list_commands(None))


def _stop_for_a_second(victim: Running, moments: random.Random) -> None:
    time.sleep(moments.uniform(0, 1.2))
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(victim.pid, signal.SIGCONT)


def _abandon(url: str, name: str) -> None:
    """Leave a running trial of a process that is dead."""
    from optuna_layerwise.storage import open_storage

    optuna.load_study(study_name=name, storage=open_storage(url)).ask()


def _facts(url: str, name: str) -> dict[str, Any]:
    from optuna_layerwise.storage import open_storage, study_names

    try:
        storage = open_storage(url, create=False)
        names = study_names(storage)
    except Exception:  # the tables are being made
        names = []
    nothing = {"setups": [], "enqueued": 0, "recipes": [], "finished": 0, "final": None}
    found: dict[str, Any] = {**nothing, "studies": {}}
    for one in names:
        study = optuna.load_study(study_name=one, storage=storage)
        trials = study.get_trials(deepcopy=False)
        told = [[t.number, t.state.name, t.params, t.values] for t in trials if t.values]
        found["studies"][one] = json.dumps([told, _final(study)])
        if one == name:
            fixed = [
                t.system_attrs["fixed_params"] for t in trials if "fixed_params" in t.system_attrs
            ]
            runs = [t.user_attrs.get("olw:run") or {} for t in trials]
            found["setups"] = sorted({run["fingerprint"] for run in runs if run})
            found["recipes"] = [json.dumps(params, sort_keys=True) for params in fixed]
            found["enqueued"] = len(fixed)
            found["finished"] = sum(t.state.is_finished() for t in trials)
            found["final"] = _final(study)
    return found


def _final(study: optuna.Study) -> str | None:
    from optuna_layerwise.records.final import stored_final

    final = stored_final(study)
    return None if final is None else json.dumps(final.as_json(), sort_keys=True)


def cell(kind: str, pair: tuple[str, str], url: str, folder: Path, rounds: int, seed: str) -> Any:
    """Some rounds of one pair on one storage: what was done, and what went wrong."""
    moments, total, examples = random.Random(seed), Counter(dict.fromkeys(COUNTED, 0)), []
    made, started = Rounds(pair, url, folder), time.perf_counter()
    for number in range(rounds):
        found, said = made.run(f"r{number}", moments, stops=number % 2 == 1)
        total.update(found)
        if set(found) - {"turned_away"}:
            examples.append({"round": number, "found": dict(found), "said": said})
    seconds = round(time.perf_counter() - started, 1)
    deeds = {"storage": kind, "pair": list(pair), "rounds": rounds, "stops": rounds // 2}
    return {**deeds, "seconds": seconds, **total}, examples


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    preload()
    origin = provenance(device=processor(), threads=1, commit=args.commit)
    deadline = time.monotonic() + 60 * args.minutes
    done: Counter[tuple[str, ...]] = Counter()
    for record in read(args.output):
        if record["commit"] == origin["commit"]:
            done[(record["storage"], *record["pair"])] += record["rounds"]
    wanted = [pair for pair in PAIRS if not args.actions or set(pair) <= set(args.actions)]
    for kind in args.storages:
        with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
            for number, pair in enumerate(wanted):
                rounds = args.rounds - done[(kind, *pair)]
                if rounds <= 0 or time.monotonic() > deadline:
                    continue
                folder = Path(temporary) / f"pair{number}"
                url = stack.enter_context(place(kind, folder / "database"))
                seed = f"{kind} {pair} {done[(kind, *pair)]}"
                record, examples = cell(kind, pair, url, folder / "files", rounds, seed)
                append(args.output, {**origin, **record})
                print({name: value for name, value in record.items() if value}, flush=True)
                for example in examples[: args.show]:
                    print(example["round"], example["found"], example["said"], sep="\n")
                stack.close()
                shutil.rmtree(folder, ignore_errors=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storages", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--actions", nargs="+", choices=list(ACTIONS))
    parser.add_argument("--rounds", type=int, default=50, help="of each pair on each storage")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no pair after so many")
    parser.add_argument("--show", type=int, default=0, help="print so many failures a pair")
    parser.add_argument("--commit", help="of a copy of the code that is no repository")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
