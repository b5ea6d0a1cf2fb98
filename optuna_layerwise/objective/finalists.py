"""After the search: a contest by held-out images, one opening of the test split, one result."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from optuna_layerwise.baselines import REFERENCES
from optuna_layerwise.encodings import Encoding
from optuna_layerwise.objective.delivering import HandedOver
from optuna_layerwise.objective.ended import OnTraining, ended
from optuna_layerwise.objective.entrants import MakeCheckpoint
from optuna_layerwise.objective.trial_files import TrialFiles
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.deriving import listed, warn_of_edited
from optuna_layerwise.records.final import (
    DEFAULT_ENDING,
    OPENED_KEY,
    PUBLISHED_ENDING,
    Ending,
    Final,
    Opening,
    count_finals,
    opening_keys,
    openings,
    store_final,
    stored_final,
)
from optuna_layerwise.records.predictions import beside, stored_beside
from optuna_layerwise.records.run import run_of
from optuna_layerwise.storage import (
    LEASE_SECONDS,
    all_trials,
    best_first,
    only_infeasible,
    violation_of,
)
from optuna_layerwise.studies.claiming import FinalizedElsewhere, Held, claimed
from optuna_layerwise.training import Trainer


def n_finalists(n_trials: int) -> int:
    """One for ten trials, from 1 to 5: five over three seeds cost as much as 15 trials."""
    return min(5, max(1, round(n_trials / 10)))


def finalize(
    trainer: Trainer,
    study: optuna.Study,
    *,
    top: int | None,
    seeds: Sequence[int],
    race: bool = True,
    weights: str | os.PathLike[str] | None = None,
    references: Sequence[str] = REFERENCES,
    ending: Ending = DEFAULT_ENDING,
    pretrained: bool = True,
    encoding: Encoding | None = None,
    files: TrialFiles | None = None,
    again: bool = False,
    lease_seconds: float = LEASE_SECONDS,
    on_training: OnTraining | None = None,
) -> Final:
    """Train the ``top`` policies again, choose by held-out images, and only then test.

    Finalists and baselines are trained on parts of the labelled images, and validated on those
    that they did not see; in a race, some drop out when the leader is clear
    (`still_in_the_race`). The best by the mean validation metric is chosen, whether it was
    searched or is a baseline. It, or a team of several, is trained once more on all labelled
    images and handed over; `Ending` says what of this is wanted. The test split is opened once
    for a study, and the result is stored with it: later calls return what is stored, unless they
    ask for another finalization. Choosing by the best of several test results, as BioTune's paper
    does, would overstate it.

    Where another process finalizes the study, its result is waited for and returned; if it gives
    no sign of life for the time of its lease, this process takes over.

    Args:
        trainer: What the study was run with.
        study: The study.
        top: Number of finalists, policies that differ; ``None``: one for ten finished trials, at
            least 1 and at most 5.
        seeds: Of their trainings: one training each, or a fold each in turn, and one of all
            labelled images each.
        race: Train those that are clearly behind no further.
        weights: Where to save what is handed over, as safetensors: a network, or a team (see
            `load_team`); from the second opening of the test split on its number is added to the
            name.
        references: Names of `BASELINES` to train and test beside it, untuned and with the same
            recipe, but for what is theirs.
        ending: What is compared, on which images, and what is handed over.
        pretrained: Whether the finalists start from the pretrained weights.
        encoding: The encoding that the study searches; trials whose recorded policy is not what
            it makes of their parameters are left out, with a warning.
        files: Where trainings are kept until there is a result, so that an interrupted end goes
            on where it was; ``None`` keeps none.
        again: Choose anew among all trials, and open the test split once more: the former results
            stay, and the new one says that its test is no longer untouched.
        lease_seconds: After how long without a sign of life another process takes over.
        on_training: Called before each training; see `OnTraining`.

    Raises:
        ValueError: if no trial is complete, nothing is to be trained, or there is no test split.
    """
    if not len(trainer.data.test):
        raise ValueError(
            f"the data {trainer.data.source!r} have no test split to finalize a study with; "
            "`hand_over` chooses and trains without one"
        )
    number = count_finals(study) + 1
    if number > 1 and not again:
        return _stored(study)
    if (top is not None and top < 1) or not seeds:
        raise ValueError(f"top and seeds must give at least one training, got {top} and {seeds}")
    edited = warn_of_edited(study, encoding) if encoding else []
    _best(study, 1, edited)  # or say what is missing

    def is_there() -> bool:
        return count_finals(study) >= number

    while not is_there():
        with claimed(study, seconds=lease_seconds, over=is_there) as claim:
            if claim is None or is_there():  # since it was looked for
                break
            finished = sum(trial.state.is_finished() for trial in all_trials(study))
            best = _best(study, top or n_finalists(finished), edited)
            opened = [one for one in openings(study) if one.result == number]
            if opened:  # and no result was stored: the same choice again, with the same trainings
                former = opened[-1]
                known = {n: rest for n, *rest in _best(study, finished, edited)}
                best = [(n, *known[n]) for n in former.finalists if n in known] or best  # type: ignore[misc]
                _say_again(former, [n for n, *_ in best])
                seeds, finished = former.seeds or seeds, former.trials or finished
                ending = former.ending or PUBLISHED_ENDING
                references = references if former.references is None else former.references
            with contextlib.suppress(FinalizedElsewhere):
                return _finalized(
                    trainer,
                    study,
                    claim,
                    best,
                    number=number,
                    finished=finished,
                    seeds=seeds,
                    race=race,
                    weights=weights,
                    references=references,
                    ending=ending,
                    pretrained=pretrained,
                    files=files,
                    on_training=on_training,
                )
    return _stored(study)


def hand_over(
    trainer: Trainer,
    study: optuna.Study,
    *,
    seeds: Sequence[int],
    top: int | None = None,
    race: bool = True,
    references: Sequence[str] = REFERENCES,
    ending: Ending = DEFAULT_ENDING,
    pretrained: bool = True,
    encoding: Encoding | None = None,
) -> HandedOver:
    """What `finalize` chooses and trains, without a test: nothing is opened, and nothing stored.

    The arguments are those of `finalize`. Baselines take part only where they compete.

    Raises:
        ValueError: if no trial is complete.
    """
    edited = warn_of_edited(study, encoding) if encoding else []
    finished = sum(trial.state.is_finished() for trial in all_trials(study))
    return ended(
        trainer,
        _best(study, top or n_finalists(finished), edited),
        seeds=seeds,
        race=race,
        references=references if ending.compete else (),
        ending=ending,
        pretrained=pretrained,
        compare=False,
    ).handed_over


def _say_again(former: Opening, finalists: Sequence[int]) -> None:
    """Warn that the choice is the one of an opening that left no result, or why it is not."""
    said = f"the test split was opened at {former.at} without a result; "
    if list(finalists) == former.finalists:
        said += "the same finalists are trained again with the same seeds, whatever is asked for"
    else:
        said += (
            f"of the finalists of then, trials {former.finalists}, not all can be trained again: "
            f"now they are {list(finalists)}, with the same seeds"
        )
    warnings.warn(said, stacklevel=3)


def _stored(study: optuna.Study) -> Final:
    stored = stored_final(study)
    assert stored is not None
    return stored


def _finalized(
    trainer: Trainer,
    study: optuna.Study,
    claim: Held,
    best: Sequence[tuple[int, Policy, dict[str, Any]]],
    *,
    number: int,
    finished: int,
    seeds: Sequence[int],
    race: bool,
    weights: str | os.PathLike[str] | None,
    references: Sequence[str],
    ending: Ending,
    pretrained: bool,
    files: TrialFiles | None,
    on_training: OnTraining | None,
) -> Final:
    """The result.

    Raises:
        FinalizedElsewhere: if another process has the claim by now.
    """

    def check(also: Mapping[str, Any] | None = None) -> None:
        if claim.lost or (also is not None and not claim.renew(also=also)):
            raise FinalizedElsewhere

    data = trainer.data
    made_with = {"model": trainer.spec.digest, "data": data.fingerprint}
    checkpoint: MakeCheckpoint | None = None
    if files is not None:
        checkpoint = partial(files.of_the_end, study, number, made_with)
    end = ended(
        trainer,
        best,
        seeds=seeds,
        race=race,
        references=references,
        ending=ending,
        pretrained=pretrained,
        checkpoint=checkpoint,
        check=check,
        on_training=on_training,
    )
    handed_over = end.handed_over
    recorded, saved = max(opening_keys(study), default=0) + 1, None
    numbers = [n for n, *_ in best]
    how_it_ends = (number, finished, ending, references)
    opening = Opening.now(end.order[0].name, numbers, seeds, *how_it_ends)
    with contextlib.ExitStack() as stage:
        if weights is not None:  # the name has the opening's number: no file is overwritten
            path = _unused(Path(weights), max(recorded, number))
            saved = stage.enter_context(handed_over.saved(path))
        check(also={f"{OPENED_KEY}{recorded}": opening.as_json()})
    check(also={})
    test, metric = data.test.open(), trainer.recipe.metric
    chosen, judged, delivered = handed_over.tested(test, end.baselines, end.folds)
    others = [entrant.candidate() for entrant in end.order[1:]]
    final = Final(metric, chosen, [chosen, *others], judged, saved, finished, number, delivered)
    if saved is None:
        stored = store_final(study, final)
    else:
        said = handed_over.per_image(test, end.trained_on)
        with stored_beside(said, Path(saved["path"])) as predictions:
            stored = store_final(study, dataclasses.replace(final, predictions=predictions))
    if files:
        files.forget_the_end(study)
    return stored


def _unused(path: Path, number: int) -> Path:
    """``best.safetensors``, ``best-2.safetensors``, ...: the first that is not there."""
    later = (
        path.with_name(f"{path.stem}-{n}{path.suffix}") for n in itertools.count(max(number, 2))
    )
    names = itertools.chain([path] if number == 1 else [], later)
    return next(name for name in names if not (name.exists() or beside(name).exists()))


def _best(
    study: optuna.Study, top: int, edited: Sequence[int]
) -> list[tuple[int, Policy, dict[str, Any]]]:
    """Of the best feasible trials, all different: number, policy, and what it tuned beside it."""
    if infeasible := only_infeasible(study):
        raise ValueError(
            f"study {study.study_name!r}: {infeasible}. Run more trials, or loosen the "
            "constraints in a new study, before finalizing"
        )
    best: dict[tuple[Policy, str], tuple[int, Policy, dict[str, Any]]] = {}
    for trial in best_first(study):
        if violation_of(trial):
            break  # and so are all that follow
        if trial.number in edited:
            continue
        run = run_of(study, trial)  # a trial of another objective has none
        if run is not None and (policy := Policy(run.policy)).trained:
            found = (trial.number, policy, run.recipe)
            best.setdefault((policy, json.dumps(run.recipe, sort_keys=True)), found)
    if not best:
        but = f" but {listed(edited)}, whose stored policy was edited" if edited else ""
        raise ValueError(
            f"study {study.study_name!r} has no complete trial that trained something{but}; "
            "run more trials before finalizing"
        )
    return list(best.values())[:top]
