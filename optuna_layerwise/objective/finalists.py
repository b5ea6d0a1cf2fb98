"""After the search: retrain the finalists, choose by validation, open the test split once."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from safetensors.torch import save_model

from optuna_layerwise.baselines import BASELINES, REFERENCES
from optuna_layerwise.data import Images
from optuna_layerwise.encodings import Encoding
from optuna_layerwise.io.files import whole_file
from optuna_layerwise.objective.racing import still_in_the_race
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.deriving import listed, warn_of_edited
from optuna_layerwise.records.final import (
    OPENED_KEY,
    Candidate,
    Final,
    Opening,
    count_finals,
    opening_keys,
    openings,
    store_final,
    stored_final,
)
from optuna_layerwise.records.run import finite_or_none, run_of
from optuna_layerwise.storage import (
    LEASE_SECONDS,
    all_trials,
    best_first,
    only_infeasible,
    violation_of,
)
from optuna_layerwise.studies.claiming import FinalizedElsewhere, Held, claimed
from optuna_layerwise.training import Cost, Fit, Trainer, higher_is_better


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
    pretrained: bool = True,
    encoding: Encoding | None = None,
    again: bool = False,
    lease_seconds: float = LEASE_SECONDS,
) -> Final:
    """Retrain the ``top`` policies, choose one by validation, and only then test it.

    Finalists and baselines are trained on the whole training split (no fold) once per seed; in a
    race, finalists drop out when the leader is clear (`still_in_the_race`), and the chosen one
    has had every seed. The mean validation metric chooses; the test split is opened once for a
    study, and the result is stored with it: later calls return what is stored, unless they ask
    for another finalization. Choosing by the best of several test results, as BioTune's paper
    does, would overstate it.

    Where another process finalizes the study, its result is waited for and returned; if it gives
    no sign of life for the time of its lease, this process takes over.

    Args:
        trainer: What the study was run with.
        study: The study.
        top: Number of finalists, policies that differ; ``None``: one for ten finished trials, at
            least 1 and at most 5.
        seeds: Of their trainings.
        race: Train finalists that are clearly behind no further.
        weights: Where to save the chosen policy's weights, those of its best seed by
            validation, as safetensors; from the second opening of the test split on its number
            is added to the name.
        references: Names of `BASELINES` to train and test beside it, untuned and with the same
            recipe, but for its method.
        pretrained: Whether the finalists start from the pretrained weights.
        encoding: The encoding that the study searches; trials whose recorded policy is not what
            it makes of their parameters are left out, with a warning.
        again: Choose anew among all trials, and open the test split once more: the former results
            stay, and the new one says that its test is no longer untouched.
        lease_seconds: After how long without a sign of life another process takes over.

    Raises:
        ValueError: if no trial is complete, or nothing is to be trained.
    """
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
            made = _finalized(
                trainer,
                *(study, claim, number, best, finished),
                *(seeds, race, weights, references, pretrained),
            )
        if made is not None:
            return made
    return _stored(study)


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
    number: int,
    best: Sequence[tuple[int, Policy, dict[str, Any]]],
    finished: int,
    seeds: Sequence[int],
    race: bool,
    weights: str | os.PathLike[str] | None,
    references: Sequence[str],
    pretrained: bool,
) -> Final | None:
    """The result; ``None`` if another process has the claim by now."""
    metric = trainer.recipe.metric
    sign = -1 if higher_is_better(metric) else 1

    def by_validation(entrant: _Entrant) -> tuple[int, float, float]:
        candidate = entrant.candidate()
        value, loss = (candidate.mean(m, split="val") for m in (metric, "loss"))
        return -len(candidate.val), _worst_if_nan(sign * value), _worst_if_nan(loss)

    entrants = [
        _Entrant(trainer, f"trial {n}", policy, changes, pretrained=pretrained)
        for n, policy, changes in best
    ]
    running = entrants
    for index, seed in enumerate(seeds):
        for entrant in running:
            if claim.lost:
                return None
            entrant.train(seed)
        if race and index + 1 < len(seeds):
            scores = np.array([[-sign * f.metrics[metric] for f in e.fits] for e in running])
            going_on = still_in_the_race(scores, len(seeds))
            for dropped in itertools.compress(running, ~going_on):
                dropped.weights.clear()
            running = list(itertools.compress(running, going_on))
    winner, *losers = sorted(entrants, key=by_validation)
    for loser in losers:
        loser.weights.clear()
    plain = dataclasses.replace(trainer.recipe, method=None)
    baselines = []
    for b in (BASELINES[name] for name in references):
        policy, recipe = b.policy(list(trainer.blocks)), b.applied(plain)
        entrant = _Entrant(trainer, b.title, policy, pretrained=b.pretrained, recipe=recipe)
        baselines.append(entrant)
    for baseline in baselines:
        for seed in seeds:
            if claim.lost:
                return None
            baseline.train(seed)
    recorded, saved = max(opening_keys(study), default=0) + 1, None
    opening = Opening.now(winner.name, [n for n, *_ in best], seeds, number, finished)
    try:
        with contextlib.ExitStack() as stack:
            if weights is not None:  # the name has the opening's number: no file is overwritten
                path = _unused(Path(weights), max(recorded, number))
                costs = [_worst_if_nan(sign * fit.metrics[metric]) for fit in winner.fits]
                saved = stack.enter_context(_saving(winner, costs.index(min(costs)), path))
            if not claim.renew(also={f"{OPENED_KEY}{recorded}": opening.as_json()}):
                raise FinalizedElsewhere
        if not claim.renew():
            raise FinalizedElsewhere
    except FinalizedElsewhere:
        return None
    test = trainer.data.test.open()
    chosen = winner.candidate(test)
    judged = [baseline.candidate(test) for baseline in baselines]
    finalists = [chosen, *(loser.candidate() for loser in losers)]
    final = Final(metric, chosen, finalists, judged, saved, finished, number)
    return store_final(study, final)


class _Entrant:
    """A policy, its trainings so far, and the weights of each, on the CPU."""

    def __init__(
        self,
        trainer: Trainer,
        name: str,
        policy: Policy,
        changes: Mapping[str, Any] | None = None,
        *,
        pretrained: bool = True,
        recipe: Recipe | None = None,
    ) -> None:
        self.name = name
        self.policy = policy
        self.changes = dict(changes or {})
        self.recipe = (recipe or trainer.recipe).changed(self.changes)
        self.fits: list[Fit] = []
        self.weights: list[dict[str, torch.Tensor]] = []
        self._trainer = trainer
        self._pretrained = pretrained

    def train(self, seed: int) -> None:
        """Once more, on all training images."""
        trainer, data = self._trainer, self._trainer.data
        pretrained = self._pretrained
        model = trainer.model() if pretrained else trainer.untrained_model(seed)
        splits = (data.train, data.val)
        fit = trainer.train(
            self.policy, *splits, seed, model=model, pretrained=pretrained, recipe=self.recipe
        )
        self.fits.append(fit)
        state = model.state_dict()
        self.weights.append({name: t.to("cpu", copy=True) for name, t in state.items()})

    def model(self, index: int) -> torch.nn.Module:
        """The network as it was after a training."""
        model = self._trainer.model()
        model.load_state_dict(self.weights[index])
        return model

    def candidate(self, test: Images | None = None) -> Candidate:
        """What is stored of it, with test metrics where there are test images."""
        cost = sum((fit.cost for fit in self.fits), Cost())
        return Candidate(
            name=self.name,
            policy=dict(self.policy),
            trained_share=self.fits[0].trained_share,
            val=[finite_or_none(fit.metrics) for fit in self.fits],
            test=[] if test is None else [self._tested(i, test) for i in range(len(self.fits))],
            images_seen=cost.images_seen,
            seconds=cost.seconds,
            flops=cost.flops,
            recipe=self.changes,
        )

    def _tested(self, index: int, test: Images) -> dict[str, float | None]:
        return finite_or_none(self._trainer.evaluate(self.model(index), test))


@contextlib.contextmanager
def _saving(entrant: _Entrant, index: int, path: Path) -> Iterator[dict[str, str]]:
    """Write the weights of a training; yields the path and the SHA-256.

    The file has its name when the ``with`` block has ended, and is gone after an error in it.
    """
    policy = json.dumps(dict(entrant.policy))
    with whole_file(path) as unfinished:
        save_model(entrant.model(index), str(unfinished), metadata={"policy": policy})
        digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()
        yield {"path": str(path.absolute()), "sha256": digest}


def _unused(path: Path, number: int) -> Path:
    """``best.safetensors``, ``best-2.safetensors``, ...: the first that is not there."""
    if number == 1 and not path.exists():
        return path
    later = (
        path.with_name(f"{path.stem}-{n}{path.suffix}") for n in itertools.count(max(number, 2))
    )
    return next(name for name in later if not name.exists())


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


def _worst_if_nan(value: float) -> float:
    return math.inf if math.isnan(value) else value
