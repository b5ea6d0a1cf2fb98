"""What finalizing a study found, as it is stored with the study; read without torch."""

from __future__ import annotations

import dataclasses
import math
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Literal, get_args

import numpy as np
import optuna

from optuna_layerwise.recipe import Metric
from optuna_layerwise.records.attributes import VERSION_FIELD, UnreadableAttribute, read
from optuna_layerwise.storage import FINAL_KEY, IncompleteValueError, Lease, Owner
from optuna_layerwise.storage.study_attrs import stored_keys, study_attr, write_once

CLAIM_KEY = "olw:finalizing"
"""Study user attribute: the process that finalizes, and its lease."""
OPENED_KEY = "olw:opened:"
"""Study user attributes, this and a number from 1: each opening of the test split."""
_VERSION = 1
Deliver = Literal["auto", "one", "team"]
"""What is handed over: one network, a team of several, or whichever validates better."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ending:
    """How a search ends: what is compared, on which images, and what is handed over.

    Args:
        folds: In how many folds all labelled images are held out once by each finalist's
            trainings. 1 trains on the training split and validates on the validation split, once
            a seed. ``None`` chooses: five below 1,000 labelled images, fewer where a class has
            fewer, else 1.
        refit: Train what is handed over, and what it is compared with, once more on all labelled
            images (those of training and validation), for as many epochs as its validated
            trainings suggest. Without, a team has the networks of all folds.
        deliver: ``one`` network, or a ``team`` whose probabilities are averaged; ``auto`` is a
            team of several policies where it validates better, else one of the winner's
            trainings.
        compete: Let the baselines compete with the finalists: whichever validates best is chosen.
        epochs: Of the trainings after the search, at most; ``None``: as in the search.

    Raises:
        ValueError: if a value is out of its range.
    """

    folds: int | None = None
    refit: bool = True
    deliver: Deliver = "auto"
    compete: bool = True
    epochs: int | None = None

    def __post_init__(self) -> None:
        for field in ("folds", "epochs"):
            if (value := getattr(self, field)) is not None and value < 1:
                raise ValueError(f"{field} must be at least 1, or None, got {value!r}")
        if self.deliver not in get_args(Deliver):
            raise ValueError(
                f"deliver must be one of {list(get_args(Deliver))}, got {self.deliver!r}"
            )


DEFAULT_ENDING = Ending()
PUBLISHED_ENDING = Ending(folds=1, refit=False, deliver="one", compete=False)
"""As in the papers: the best policy's best training is what is found."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A policy trained again, once per seed or fold until it dropped out of the race.

    Args:
        name: ``trial 17``, or the title of a baseline.
        policy: Block to multiplier.
        trained_share: Trained parameters as a share of all.
        val: Per training the metrics of the images that it held out.
        test: Per network the test metrics, of those trained on all labelled images where there
            are such; empty for finalists that were not chosen.
        images_seen: In all of its trainings.
        seconds: In all of its trainings.
        flops: In all of its trainings; see `Cost`.
        recipe: Fields of the recipe that its trial tuned; see `Recipe.changed`.
    """

    name: str
    policy: dict[str, float]
    trained_share: float
    val: list[dict[str, float | None]]
    test: list[dict[str, float | None]]
    images_seen: int
    seconds: float
    flops: float = 0.0
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)

    def mean(self, metric: str, *, split: str) -> float:
        """Mean over the seeds of a metric on ``val`` or ``test``; NaN where one diverged."""
        seeds = self.val if split == "val" else self.test
        return float(np.mean([_number(seed.get(metric)) for seed in seeds])) if seeds else math.nan

    def spread(self, metric: str) -> float:
        """Standard deviation (n - 1) of a test metric over the seeds."""
        values = [_number(seed.get(metric)) for seed in self.test]
        if len(values) < 2:
            return math.nan
        return 0.0 if min(values) == max(values) else float(np.std(values, ddof=1))


@dataclasses.dataclass(frozen=True)
class Member:
    """A network of those that are handed over.

    Args:
        name: Of the `Candidate` that it is a training of.
        policy: Block to multiplier.
        recipe: Fields in which its recipe differs from that of the study.
        seed: Of its training.
        weight: Its share of the team's probabilities; 1 where it is alone.
        epochs: That it was trained; ``None`` where validation chose the best one.
    """

    name: str
    policy: dict[str, float]
    recipe: dict[str, Any]
    seed: int
    weight: float
    epochs: int | None = None


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its interval of 95 %."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Delivered:
    """What is handed over, and what it is worth: the network, or the team, in the saved file.

    Args:
        members: Its networks; one, or those of a team.
        folds: In which the labelled images were held out; 1: the validation split alone.
        refit: Whether its networks were trained on all labelled images.
        held_out: Metrics on held-out images, of what was chosen before it was trained again.
        other: The same of what was not handed over: the team's, or the single network's;
            empty where there was no choice.
        promised: Of the study's metric, corrected for having been chosen; see `bias_corrected`.
        test: Its own test metrics.
        leads: Name of a baseline to how much better it is on the test split, positive is better,
            with the interval of resampled test images.
        flops: Operations to classify one image.
        flops_of_one: Those of a single network.
    """

    members: list[Member]
    folds: int
    refit: bool
    held_out: dict[str, float | None]
    other: dict[str, float | None]
    promised: Estimate | None
    test: dict[str, float | None]
    leads: dict[str, Estimate]
    flops: float
    flops_of_one: float

    @property
    def is_team(self) -> bool:
        """Whether it is more than one network."""
        return len(self.members) > 1


@dataclasses.dataclass(frozen=True)
class Final:
    """The result of a study.

    Args:
        metric: By which the search and this choice were made.
        chosen: The best by mean validation metric, with its test metrics.
        finalists: All that were retrained, the chosen one included, best validation first, and
            those that dropped out of the race last.
        baselines: With the same recipe and seeds, with test metrics.
        weights: Where the chosen policy's weights were saved (``path``), and their ``sha256``.
        trials: Finished trials that the choice was made among; ``None`` if an older release
            made it, which did not store that.
        number: 1, or above for the result of a finalization that was asked for again.
        delivered: What is handed over; ``None`` of an older release.
        predictions: Where what it says of each test image was saved (``path``), and the
            ``sha256``; ``None`` where no weights were saved, and of an older release.
    """

    metric: Metric
    chosen: Candidate
    finalists: list[Candidate]
    baselines: list[Candidate]
    weights: dict[str, str] | None = None
    trials: int | None = None
    number: int = 1
    delivered: Delivered | None = None
    predictions: dict[str, str] | None = None

    @property
    def trainings_saved(self) -> int:
        """Trainings that finalists did not need, because they had dropped out of the race."""
        return sum(len(self.chosen.val) - len(finalist.val) for finalist in self.finalists)

    def as_json(self) -> dict[str, Any]:
        """For the database."""
        return {VERSION_FIELD: _VERSION, **dataclasses.asdict(self)}


def final_key(number: int) -> str:
    """Study user attribute of the first, second, ... result."""
    return FINAL_KEY if number == 1 else f"{FINAL_KEY}:{number}"


def count_finals(study: optuna.Study) -> int:
    """How often the study has been finalized."""
    stored, number = stored_keys(study), 0
    while final_key(number + 1) in stored:
        number += 1
    return number


def stored_final(study: optuna.Study, number: int | None = None) -> Final | None:
    """The result of a study that has been finalized.

    Args:
        study: The study.
        number: Of the result, from 1; the latest by default.

    Raises:
        UnreadableAttribute: if it cannot be read.
    """
    number = max(count_finals(study), 1) if number is None else number
    name, key = study.study_name, final_key(number)
    try:
        content = study_attr(study, key)
    except IncompleteValueError as error:
        raise UnreadableAttribute(str(error), key=key, study=name) from error
    if content is None:
        return None
    final = read(Final, content, version=_VERSION, key=key, study=name)
    return dataclasses.replace(final, number=number)


@dataclasses.dataclass(frozen=True)
class Claim:
    """That of a process which finalizes the study, or has died while it did.

    Args:
        owner: The process.
        lease: Renewed as long as it lives; ``None`` of an older release.
        since: UTC; empty where that is not stored.
    """

    owner: Owner
    lease: Lease | None = None
    since: str = ""

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to be gone."""
        return self.owner.is_dead and (self.lease is None or self.owner.is_near)

    @property
    def words(self) -> str:
        """Which process, for a line."""
        return f"process {self.owner.pid} on {self.owner.host}"


def claim_of(study: optuna.Study) -> Claim | None:
    """Who finalizes the study, as far as is stored.

    Raises:
        UnreadableAttribute: if what is stored cannot be read.
    """
    return claim_in(study.user_attrs.get(CLAIM_KEY), study.study_name)


def claim_in(content: Any, study: str) -> Claim | None:
    """The claim that an attribute holds; see `claim_of`."""
    if content is None:
        return None
    if (lease := Lease.from_json(content)) is not None:
        since = content.get("since")
        return Claim(lease.owner, lease, since if isinstance(since, str) else "")
    return Claim(read(Owner, content, version=_VERSION, key=CLAIM_KEY, study=study))


@dataclasses.dataclass(frozen=True)
class Opening:
    """One opening of the test split, recorded before it happens.

    Args:
        at: UTC.
        host: Of the process that opened it.
        pid: Of that process.
        token: Random; tells the record from every other one.
        chose: Name of the finalist that was tested.
        finalists: Their trials' numbers, best first in the search.
        seeds: Of their trainings.
        result: Number of the result that it was for.
        trials: Finished trials that the choice was made among; ``None`` of an older release.
        ending: How the search ended; ``None`` of an older release.
        references: The baselines that took part; ``None`` of an older release.
    """

    at: str
    host: str
    pid: int
    token: str
    chose: str
    finalists: list[int]
    seeds: list[int]
    result: int = 1
    trials: int | None = None
    ending: Ending | None = None
    references: list[str] | None = None

    @classmethod
    def now(
        cls,
        chose: str,
        finalists: Sequence[int],
        seeds: Sequence[int],
        result: int,
        trials: int,
        ending: Ending | None = None,
        references: Sequence[str] = (),
    ) -> Opening:
        """By this process."""
        me, token = Owner.of_this_process(), secrets.token_hex(8)
        chosen = (chose, list(finalists), list(seeds), result, trials, ending, list(references))
        return cls(utc_now(), me.host, me.pid, token, *chosen)

    def as_json(self) -> dict[str, Any]:
        """For the database."""
        return {VERSION_FIELD: _VERSION, **dataclasses.asdict(self)}


def opening_keys(study: optuna.Study) -> dict[int, str]:
    """Number to user attribute of all openings that are recorded, oldest first."""
    recorded = (key for key in stored_keys(study) if key.startswith(OPENED_KEY))
    numbers = {key.removeprefix(OPENED_KEY): key for key in recorded}
    return dict(sorted((int(n), key) for n, key in numbers.items() if re.fullmatch(r"\d{1,9}", n)))


def opening_in(study: optuna.Study, key: str) -> Opening:
    """The opening that an attribute records.

    Raises:
        UnreadableAttribute: if it cannot be read.
    """
    content = study.user_attrs.get(key)
    return read(Opening, content, version=_VERSION, key=key, study=study.study_name)


def openings(study: optuna.Study) -> list[Opening]:
    """All openings of the test split, oldest first; an older release recorded none.

    Raises:
        UnreadableAttribute: if a record cannot be read.
    """
    return [opening_in(study, key) for key in opening_keys(study).values()]


def times_opened(results: int, opened: Sequence[Opening]) -> int:
    """How often the test split was opened, at least.

    Args:
        results: How many the study has. An older release recorded nothing but these.
        opened: The openings whose records can be read.
    """
    unrecorded = results > 0 and all(opening.result > 1 for opening in opened)
    return max(results, len(opened) + unrecorded)


def lost_opening(results: int, opened: Sequence[Opening], again: str) -> str:
    """That the split was opened and no result stored, and what to do; empty if that is not so.

    Args:
        results: How many the study has.
        opened: All openings of the study.
        again: How to finalize it once more.
    """
    if not opened or opened[-1].result <= results:
        return ""
    last, how = opened[-1], f" with {again}" if results else ""
    return (
        f"The test split was opened at {last.at} by process {last.pid} on {last.host}, whose "
        "result is not stored, unless the process is still testing; whoever finalizes the study "
        f"next{how} makes the same choice again."
    )


def utc_now() -> str:
    """Now, for people to read."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def store_final(study: optuna.Study, final: Final) -> Final:
    """Store a result unless there is one of its number; returns the one that is stored."""
    write_once(study, final_key(final.number), final.as_json())
    stored = stored_final(study, final.number)
    assert stored is not None
    return stored


def _number(value: float | None) -> float:
    return math.nan if value is None else value
