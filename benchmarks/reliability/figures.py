"""What a log of workers and the study that they left say about each other."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from optuna_layerwise.storage import all_trials, trial_record


def figures(study: optuna.Study, log: Path, target: int) -> dict[str, Any]:
    """The promises, counted; all but the first and the last two have to be 0.

    Returns:
        ``finished``: finished trials. ``off_target``: how many more or fewer than the target,
        and finished ones numbered beyond it. ``lost``: trials that a worker told, or that were
        once seen finished in the database, and that are not there any more as they were.
        ``done_twice``: trials told by two workers or begun again after they had finished.
        ``at_once``: trials that two workers ran in turn, one not knowing of the other.
        ``unfinished``: trials below the target that are not finished. ``steps_repeated``: steps
        that a kill cost. ``died``: workers that ended by an error of their own.
    """
    trials, events = all_trials(study), read_log(log)
    finished = {t.number: (t.state.name, t.values) for t in trials if t.state.is_finished()}
    known = [(e["trial"], e["state"], e["values"]) for e in events if e["event"] in _ENDS]
    lost = {n for n, state, values in known if not _equal(finished.get(n), (state, values))}
    steps = Counter((e["trial"], e["step"]) for e in events if e["event"] == "step")
    return {
        "finished": len(finished),
        "off_target": abs(len(finished) - target) + sum(n >= target for n in finished),
        "lost": len(lost),
        "done_twice": len(_done_twice(events)),
        "at_once": len(_at_once(events)),
        "unfinished": sum(not t.state.is_finished() for t in trials[:target]),
        "states": dict(Counter(t.state.name for t in trials)),
        "steps_repeated": sum(times - 1 for times in steps.values()),
        "died": sum(e["event"] == "died" for e in events),
    }


PROMISED = ("off_target", "lost", "done_twice", "unfinished")
"""Figures that are 0, whatever happens."""
_ENDS = ("told", "seen")


def read_log(log: Path) -> list[dict[str, Any]]:
    """Of all workers, in the order of their writes."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def outcome(study: optuna.Study) -> list[tuple[Any, ...]]:
    """What is equal in an interrupted and an uninterrupted serial study."""
    return [
        (
            trial.number,
            trial.state.name,
            trial.params,
            trial.values,
            trial.intermediate_values,
            {**trial_record(trial), "owner": None, "study": None},
        )
        for trial in all_trials(study)
        if trial.state != TrialState.WAITING
    ]


def _done_twice(events: list[dict[str, Any]]) -> set[int]:
    told, over, twice = set(), set(), set()
    for event in events:
        number = event.get("trial")
        if event["event"] == "told":
            twice |= {number} & told
            told.add(number)
        if event["event"] in _ENDS:
            over.add(number)
        elif number in over and event["event"] == "begin":
            twice.add(number)
    return twice


def _at_once(events: list[dict[str, Any]]) -> set[int]:
    """Trials in which an earlier life goes on after a later one began."""
    lives: dict[int, list[int]] = {}
    both = set()
    for event in events:
        number = event.get("trial")
        if number is None or event["event"] == "seen":
            continue
        of_trial = lives.setdefault(number, [])
        if event["life"] in of_trial[:-1] and event["event"] != "begin":
            both.add(number)
        elif not of_trial or of_trial[-1] != event["life"]:
            of_trial.append(event["life"])
    return both


def _equal(one: Any, other: Any) -> bool:
    """As JSON writes them."""
    return one is not None and json.dumps(one) == json.dumps(list(other))


def errors(log: Path) -> list[str]:
    """What workers died of, each once: the first lines."""
    texts = (event["error"] for event in read_log(log) if event["event"] == "died")
    return sorted({text.splitlines()[0] for text in texts})
