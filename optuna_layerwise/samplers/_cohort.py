"""The engine that turns a pure algorithm into an Optuna sampler.

A trial's number is its place in the search. Nothing is kept but the study: each ask replays the
finished trials, draws from the newest state that is complete, and stores which one that was.
"""

from __future__ import annotations

import secrets
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from optuna_layerwise.samplers._algorithm import Algorithm, Draw, Encoding, uniform_gene
from optuna_layerwise.samplers._codec import contains, from_gene, native
from optuna_layerwise.samplers._fingerprint import fingerprint
from optuna_layerwise.samplers._fronts import MOST_OBJECTIVES
from optuna_layerwise.samplers._options import (
    check_encoding,
    checked_seed,
    checked_seeds,
    checked_space,
)
from optuna_layerwise.samplers._replay import Replay, Snapshot
from optuna_layerwise.samplers._rng import TrialRng
from optuna_layerwise.samplers._threads import one_thread
from optuna_layerwise.storage import (
    Owner,
    all_trials,
    claims_are_atomic,
    own_record,
    owner_of,
    requeue,
    stored_study_id,
    study_id,
    trial_record,
    write_trial_record,
)

_DRAWN = {"seed", "base", "end", "missing", "genes", "facts"}
"""What a record holds once its trial was drawn; before that, an owner alone."""


class CohortSampler(BaseSampler):
    """An Optuna sampler around a pure algorithm; see `Algorithm` for the contract.

    Args:
        algorithm: The pure algorithm.
        seed: Of the study; that of its first trial wins, also over ``None``.
        encoding: Where the genes come from, if they are layer genes: gives the search space
            and tells which genes matter.
        search_space: Parameter name to distribution; default the encoding's and all other
            parameters seen in earlier trials.
        seed_with: Parameters of the first trials, by their numbers; what one leaves out is drawn.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        *,
        seed: int | None,
        encoding: Encoding | None,
        search_space: Mapping[str, BaseDistribution] | None,
        seed_with: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        check_encoding(encoding)
        self._algorithm = algorithm
        self._seed = checked_seed(seed)
        self._encoding = encoding
        self._search_space = checked_space(search_space)
        known = self._search_space or (encoding.search_space if encoding else {})
        self._seed_with = checked_seeds(seed_with, known)
        self._lock = threading.RLock()
        self._replay: Replay | None = None
        self._replayed: tuple[BaseStorage, int] | None = None
        self._first: Mapping[str, Any] | None = None  # record of a seed, which all others follow
        self._warned: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock and the cache behind: the state is in the study."""
        return {
            **self.__dict__,
            **dict.fromkeys(("_lock", "_replay", "_replayed", "_first")),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def reseed_rng(self) -> None:
        """Do nothing: every draw has its own generator, keyed by the trial's number."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Requeue the trials of dead processes, and record what this one is drawn from."""
        with self._lock:
            if self._replayed != (study._storage, study._study_id):
                # The first replay of a long study takes its time: nobody must take the trial
                # for abandoned meanwhile.
                write_trial_record(study, trial, trial_record(trial))
            replay = self._up_to_date(study)
            for running in replay.running(besides=trial.number):
                self._look_after(study, running)
            self._claim(study, trial, replay)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The fixed search space, or all parameters of the cohorts the trial is drawn from."""
        with self._lock:
            record = self._record(study, trial)
            return dict(self._snapshot(self._replay_of(study), record).search_space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The drawn point, as native Python values."""
        with self._lock:
            record = self._record(study, trial)
            return self._values(self._replay_of(study), trial.number, record, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter outside the known space: drawn on its own, keyed by its name."""
        asked = {param_name: param_distribution}
        with self._lock:
            record = self._record(study, trial)
            return self._values(self._replay_of(study), trial.number, record, asked)[param_name]

    def redraw(self, study: Study) -> list[tuple[FrozenTrial, dict[str, Any], dict[str, Any]]]:
        """Each trial that this sampler drew, drawn again from what the study holds now.

        Nothing is stored. See `rederive`, which compares.

        Returns:
            The trials with the parameters that they would have got (but for those enqueued, and
            for parameters of a single value) and the records that they would have stored.

        Raises:
            ValueError: if there are none; the message says who drew the trials.
        """
        with self._lock:
            trials, replay = all_trials(study), self._up_to_date(study)
            ours = [trial for trial in trials if self._is_ours(own_record(trial, replay.study_id))]
            if not ours:
                names = {trial_record(trial).get("algorithm", "") for trial in trials} - {""}
                raise ValueError(
                    f"no trial of study {study.study_name!r} was drawn by "
                    f"{self._algorithm.name!r}; there are trials of "
                    f"{sorted(names) or 'samplers that keep no record'}. What follows the last "
                    "slash stands for the options, which must be those of then"
                )
            return [(trial, *self._redrawn(replay, trial)) for trial in ours]

    def _redrawn(
        self, replay: Replay, trial: FrozenTrial
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        record = dict(trial_record(trial))
        known = self._snapshot(replay, record).search_space
        draw = self._draw(replay, trial.number, record)
        record["genes"] = dict(zip(known, draw.genes.tolist(), strict=True))
        record["facts"] = draw.facts
        relative = self._values(replay, trial.number, record, known)
        independent = self._values(replay, trial.number, record, trial.distributions)
        given = trial.system_attrs.get("fixed_params", {})
        params = {
            name: relative[name]
            if name in relative and contains(distribution, relative[name])
            else independent[name]
            for name, distribution in trial.distributions.items()
            if name not in given and not distribution.single()
        }
        return params, record

    def _values(
        self,
        replay: Replay,
        number: int,
        record: Mapping[str, Any],
        asked: Mapping[str, BaseDistribution],
    ) -> dict[str, Any]:
        known, genes = self._snapshot(replay, record).search_space, record["genes"]
        rng, given = self._rng(replay, number, record), record.get("given", {})

        def value(name: str, distribution: BaseDistribution) -> Any:
            if name in given:
                if contains(distribution, given[name]):
                    return native(given[name], distribution)
                self._warn(
                    f"seed_with[{number}] has {name!r} = {given[name]!r}, which is not a value of "
                    f"{distribution}; it is drawn instead"
                )
            if name in genes and known.get(name) == distribution:
                return from_gene(float(genes[name]), distribution)
            return from_gene(self._gene_alone(rng, name, distribution), distribution)

        return {name: value(name, distribution) for name, distribution in asked.items()}

    def _gene_alone(self, rng: TrialRng, name: str, distribution: BaseDistribution) -> float:
        """Of a parameter outside the known space."""
        return uniform_gene(rng, name)

    def _record(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """What the trial is drawn from: as stored, or decided (and stored) now."""
        record = own_record(trial, self._replay_of(study).study_id)
        if self._is_ours(record):
            return record
        return self._claim(study, trial, self._up_to_date(study))

    def _claim(self, study: Study, trial: FrozenTrial, replay: Replay) -> dict[str, Any]:
        if replay.study_id is None:  # another process may have been quicker, and drawn trials
            study_id(study)
            replay = self._up_to_date(study)
        record = own_record(trial, replay.study_id)
        if not self._is_ours(record):
            cohort, _ = replay.locate(trial.number)
            snapshot = replay.before(trial.number)
            record = {
                "algorithm": self._algorithm.name,
                "study": replay.study_id,
                "trial": trial.number,
                "made_with": fingerprint(),
                "seed": self._seed_of(study, replay),
                "generation": self._algorithm.generation(cohort),
                "base": snapshot.base,
                "end": snapshot.end,
                "missing": sorted(snapshot.missing),
            }
            draw = self._draw(replay, trial.number, record)
            record["genes"] = dict(zip(snapshot.search_space, draw.genes.tolist(), strict=True))
            record["facts"] = draw.facts
            if trial.number < len(self._seed_with):
                record["given"] = self._seed_with[trial.number]
        write_trial_record(study, trial, record)
        return record

    def _is_ours(self, record: Mapping[str, Any]) -> bool:
        return record.get("algorithm") == self._algorithm.name and record.keys() >= _DRAWN

    def _draw(self, replay: Replay, number: int, record: Mapping[str, Any]) -> Draw:
        rng = self._rng(replay, number, record)
        state = self._snapshot(replay, record).state
        with one_thread():
            return self._algorithm.ask(state, rng.cohort, rng.index, rng)

    def _snapshot(self, replay: Replay, record: Mapping[str, Any]) -> Snapshot:
        return replay.at(record["base"], record["missing"])

    def _rng(self, replay: Replay, number: int, record: Mapping[str, Any]) -> TrialRng:
        return TrialRng(record["seed"], *replay.locate(number))

    def _seed_of(self, study: Study, replay: Replay) -> int:
        """The seed of the study's first own trial; warns if that was drawn in another way."""
        if self._first is None:
            records = (own_record(trial, replay.study_id) for trial in all_trials(study))
            self._first = next((record for record in records if "seed" in record), None)
        first = self._first
        if first is None:
            return secrets.randbits(32) if self._seed is None else self._seed
        seed = int(first["seed"])
        if self._seed not in (None, seed):
            self._warn(f"the study was started with seed {seed}; seed {self._seed} is ignored")
        if first.get("algorithm") != self._algorithm.name:
            self._warn(
                "the study was started by another sampler, or with other options: its trials "
                "count as points that somebody else proposed"
            )
        return seed

    def _look_after(self, study: Study, running: FrozenTrial) -> None:
        """Requeue a trial whose process is dead; warn where two live ones could collide."""
        owner = owner_of(running)
        if owner is None or owner == Owner.of_this_process():
            return
        if owner.is_dead:
            requeue(study, running)
        elif not claims_are_atomic(study._storage):
            self._warn(
                "another process works on this SQLite study, and Optuna's own SQLite storage may "
                "hand a waiting trial to both; open it with optuna_layerwise.open_study"
            )

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, UserWarning, stacklevel=2)

    def _up_to_date(self, study: Study) -> Replay:
        replay = self._replay_of(study)
        replay.update(all_trials(study))
        return replay

    def _algorithm_for(self, study: Study) -> Algorithm:
        """The algorithm, with what the study stores of how it was started."""
        return self._algorithm

    def _replay_of(self, study: Study) -> Replay:
        if len(study.directions) > MOST_OBJECTIVES:
            raise ValueError(
                f"{type(self).__name__} optimises one to {MOST_OBJECTIVES} objectives, but the "
                f"study has {len(study.directions)}; use optuna.samplers.NSGAIISampler for more"
            )
        replayed = (study._storage, study._study_id)
        kept = self._replay if self._replayed == replayed else None
        if kept is None or kept.study_id is None:
            self._replayed = replayed
            self._first = None
            self._algorithm = self._algorithm_for(study)
            self._replay = Replay(
                self._algorithm,
                study.directions,
                self._encoding,
                self._search_space,
                stored_study_id(study),
            )
            self._replay.update(all_trials(study))
            return self._replay
        return kept
