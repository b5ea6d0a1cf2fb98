"""The only place where Optuna meets torch: a trial is a fine-tuning of one policy."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import optuna
import torch
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from torch import nn

from optuna_layerwise.baselines import REFERENCES, Baseline, baseline_named
from optuna_layerwise.cost import training_flops
from optuna_layerwise.data import Examples, Images, Splits, load_data, stratified_folds
from optuna_layerwise.data.names import MAX_TOKENS
from optuna_layerwise.data.notices import kept_notices
from optuna_layerwise.data.targets import strata
from optuna_layerwise.data.tokens import Tokenizing, load_texts
from optuna_layerwise.encodings import Encoding, Head
from optuna_layerwise.io.plain import plain
from optuna_layerwise.models import Blocks, ModelSpec, OwnModel
from optuna_layerwise.objective.ended import OnTraining
from optuna_layerwise.objective.finalists import finalize
from optuna_layerwise.objective.reuse import PastTrainings, training_key
from optuna_layerwise.objective.seeds import SeedLoop
from optuna_layerwise.objective.trial_files import TrialFiles
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import COSTS, METRICS, Recipe, higher_is_better
from optuna_layerwise.records.deriving import meant
from optuna_layerwise.records.final import DEFAULT_ENDING, Ending, Final
from optuna_layerwise.records.fingerprint import Fingerprint, record
from optuna_layerwise.records.run import RUN_KEY, TRAINED, Run, check_blocks, utc_now
from optuna_layerwise.storage import (
    DATA_KEY,
    LEASE_SECONDS,
    TIE_KEY,
    Owner,
    generation_of,
    notices_in,
    owner_of,
    requeue,
    set_user_attrs,
    stored_trial,
    trial_record,
    update,
    write_once,
    write_trial_record,
)
from optuna_layerwise.studies.pausing import StopSignals, TrialPaused
from optuna_layerwise.training import (
    Checkpoint,
    Compute,
    FitStopped,
    Trainer,
    device_name,
)

_MOST_CLASSES = 1_000
"""Names that are stored with the study: a database may take no more than 64 kB."""
_MOST_NOTICES, _LONGEST_NOTICE = 20, 500
"""Warnings about the data that are stored with the study, and characters of each."""


class FinetuneObjective:
    """Fine-tunes the policy that a trial's parameters mean, and returns its validation metric.

    Each trial keeps, in the user attribute ``olw:run``, its policy, fold, generation, outcome,
    metrics of each seed, `Cost`, UTC times, device and the digest of its `Fingerprint`; in
    ``trained_share``, ``seconds`` and ``saved_work`` (the share of the operations that training
    every block would have cost and this trial has not) three numbers to sort by; in ``olw:tie``
    the validation loss, which decides between equal values. A training that a finished trial of
    the study has done to the letter (same rates of all blocks, fold, seed, recipe, data and
    model) is not done again: its result is taken over, at no cost. Ctrl-C and SIGTERM give the
    running trial back to the study, which continues it, with the same parameters, when it is
    opened again.

    Attributes:
        trainer: Trains single policies; see `Trainer`.
        n_folds: As given.

    Args:
        model: The network, or its name, which means its published pretrained weights; see
            `ModelSpec`. Or a network of your own: a module, or what makes one; see `OwnModel`.
        data: Splits, or what `load_data` takes; for a network of texts, what `load_texts` takes.
        encoding: A name of `ENCODINGS`, or an encoding for the model's own blocks.
        baseline: In its place a published method (or its name in `BASELINES`) whose rate, and
            options of its own, the trials tune; ``objective.encoding.first`` are its parameters
            as published, to be enqueued.
        head: Of an encoding that is given by name: ``always`` trained, or ``search``.
        objectives: The metric of the recipe and what else a study weighs against it, to be kept
            small: ``operations``, those of a training, as a share of training every block; and
            ``trained_share``, the share of the parameters that is trained, and so has to be
            stored for each fine-tuned network. Every policy gives a network of the same size
            and speed. Default: the metric alone.
        tune: Fields of the recipe that trials tune beside the layers, of `TUNABLE`; a search
            begins at the recipe's own values.
        recipe: How policies are trained.
        seeds: One training per seed; the value is their mean. One is usually best: spend the
            budget on more policies and repeat the finalists.
        n_folds: BioTune's rotating folds: generation g trains and validates on fold g mod
            n_folds of the training and validation splits. 1 uses all of both.
        tie_break: Store the validation loss that decides between equal values.
        reuse: Take over the results of trainings that a finished trial has done.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``, ...
        compute: Precision, memory and the like; default those of the device.
        checkpoints: Folder, the same for all workers, where unfinished trials keep what they need
            to go on inside an epoch, and the best ones their weights; see `TrialFiles`. With
            ``None`` a trial that is given back starts again.
        checkpoint_seconds: How often a trial saves, see `Checkpoint`; besides it does at Ctrl-C
            and SIGTERM.
        keep_weights: Of how many of the best trials that trained something of their own. With
            several seeds those of the best one.

    Raises:
        ValueError: if encoding, model and data do not fit together.

    Examples:
        >>> objective = FinetuneObjective(
        ...     model="digits_cnn", data="digits", recipe=Recipe(epochs=1)
        ... )
        >>> study = optuna.create_study(direction="maximize")
        >>> study.optimize(objective, n_trials=1)
        >>> 0 <= study.best_value <= 1
        True
    """

    def __init__(
        self,
        *,
        model: ModelSpec | str | nn.Module | Callable[..., nn.Module],
        data: Splits | str | os.PathLike[str],
        encoding: Encoding | str = "binary",
        baseline: Baseline | str | None = None,
        head: Head = "always",
        tune: Sequence[str] = (),
        objectives: Sequence[str] = (),
        recipe: Recipe | None = None,
        seeds: Sequence[int] = (0,),
        n_folds: int = 1,
        tie_break: bool = True,
        reuse: bool = True,
        device: str = "auto",
        compute: Compute | None = None,
        checkpoints: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 10.0,
        keep_weights: int = 0,
    ) -> None:
        if isinstance(model, str):
            spec = ModelSpec(name=model)
        elif isinstance(model, ModelSpec):
            spec = model
        else:
            shown = data.train if isinstance(data, Splits) else None
            side = shown.inputs.shape[1] if isinstance(shown, Images) else None
            spec = OwnModel(make=model, image_size=side)  # type: ignore[arg-type]
        if not isinstance(data, Splits):
            if spec.takes_texts:
                tokenizer, most = spec.tokenizer
                data = load_texts(data, Tokenizing(tokenizer, min(most, MAX_TOKENS)))
            else:
                data = load_data(data, image_size=spec.image_size, resize=spec.resize)
        recipe = recipe or Recipe(metric=METRICS[data.train.task][0])
        if isinstance(baseline, str):
            baseline = baseline_named(baseline)
        if baseline is not None:
            if head != "always":
                raise ValueError(f"a baseline always trains its head, got head={head!r}")
            recipe = baseline.applied(recipe)
        self.trainer = Trainer(spec, data, recipe, device=device, compute=compute)
        self.seeds, n_folds = tuple(plain(seed) for seed in seeds), plain(n_folds)
        if not self.seeds:
            raise ValueError("seeds must have at least one seed, got none")
        self.pretrained = baseline is None or baseline.pretrained
        self.notices: tuple[str, ...] = ()
        if self.pretrained and spec.weights is None:
            self.notices = (
                f"the search starts from random weights of {spec.name}, not from pretrained ones, "
                "so it says nothing about how to fine-tune those",
            )
            warnings.warn(self.notices[0], stacklevel=2)
        if baseline is not None:
            encoding = baseline.encoding(tuple(self.blocks), lr=self.recipe.lr)
        elif isinstance(encoding, str):
            encoding = Encoding.preset(encoding, self.blocks, head=head, lr=self.recipe.lr)
        if encoding.blocks != tuple(self.blocks):
            raise ValueError(
                f"the encoding is for the blocks {list(encoding.blocks)}, "
                f"but {self.spec.name} has {list(self.blocks)}"
            )
        if encoding.rate.absolute and encoding.lr != self.recipe.lr:
            raise ValueError(
                f"the encoding divides learning rates by lr={encoding.lr}, but the recipe has "
                f"lr={self.recipe.lr}; make the encoding with the recipe's"
            )
        self.encoding = encoding.tuning(tune, recipe) if tune else encoding
        self.objectives = tuple(objectives) or (self.recipe.metric,)
        first, *others = self.objectives
        unknown = [name for name in others if name not in COSTS]
        if first != self.recipe.metric or unknown or len(set(others)) < len(others):
            raise ValueError(
                f"objectives must be the metric of the recipe, {self.recipe.metric!r}, and then "
                f"some of {[*COSTS]}, got {[*self.objectives]}"
            )
        with kept_notices() as said_of_folds:
            self._folds = make_folds(data, n_folds)
        self.data_notices = (*data.notices, *said_of_folds)
        self.n_folds = n_folds
        self._tie_break = tie_break
        self._reuse = reuse
        self._past: PastTrainings | None = None
        self._recorded: optuna.Study | None = None
        self.fingerprint = Fingerprint.here(
            data=data.fingerprint, weights=self.spec.digest, recipe=self.recipe
        )
        self._described: optuna.Study | None = None
        weights = self.spec.digest if self.pretrained else f"{self.spec.digest}, random weights"
        self._identity = (weights, data.fingerprint, n_folds)
        self.files: TrialFiles | None = None
        if checkpoints is not None:
            self.files = TrialFiles(
                checkpoints, keep_weights=keep_weights, every=checkpoint_seconds
            )
        elif keep_weights:
            raise ValueError(
                f"keep_weights={keep_weights} needs a folder for them; give one as checkpoints="
            )

    @property
    def spec(self) -> ModelSpec:
        """The network."""
        return self.trainer.spec

    @property
    def data(self) -> Splits:
        """The splits; the test split is sealed until `finalize` opens it."""
        return self.trainer.data

    @property
    def recipe(self) -> Recipe:
        """How policies are trained."""
        return self.trainer.recipe

    @property
    def blocks(self) -> Blocks:
        """The network's parameters by block, in forward order."""
        return self.trainer.blocks

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self.trainer.device

    @property
    def direction(self) -> StudyDirection:
        """The direction that the study needs for the recipe's metric."""
        up = higher_is_better(self.recipe.metric)
        return StudyDirection.MAXIMIZE if up else StudyDirection.MINIMIZE

    @property
    def directions(self) -> list[StudyDirection]:
        """Those that a study of all `objectives` needs."""
        return [self.direction, *(StudyDirection.MINIMIZE for _ in self.objectives[1:])]

    @property
    def worst(self) -> float:
        """The value of a policy that trains nothing, as in BioTune's code: 0, or a loss of 10."""
        return 0.0 if higher_is_better(self.recipe.metric) else 10.0

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, ...]:
        """Train the trial's policy once per seed.

        Returns:
            The value, or with several objectives the values.

        Raises:
            optuna.TrialPruned: when the study's pruner says so.
            TrialPaused: after Ctrl-C or SIGTERM, or if the trial was given to another process.
            ValueError: if the study's direction does not suit the metric, or its trials have other
                blocks.
        """
        self._check_direction(trial.study)
        if self._described is not trial.study:
            check_blocks(trial.study, self.blocks)
        self.describe_data(trial.study)
        own = StopSignals()
        with own as stop:
            frozen = self._claimed(trial)

            def give_back() -> NoReturn:
                requeue(trial.study, frozen)
                raise TrialPaused(f"trial {trial.number} is given back; open the study again")

            try:
                policy = self.encoding.suggest(trial)
                recipe = self.encoding.recipe(trial.params, self.recipe)
                checkpoint = self._checkpoint(trial.study, frozen, policy, recipe)
                value = self._value(
                    trial, frozen, policy, recipe, checkpoint, lambda: stop.trial_is_to_stop
                )
                if checkpoint is not None and own.received:
                    checkpoint.save()  # all its fits are finished
                elif checkpoint is not None and self.files is not None:
                    tie = stored_trial(trial).user_attrs.get(TIE_KEY, math.inf)
                    weights = checkpoint.trial.get("weights", b"")
                    self.files.finish(trial.study, trial.number, value, tie, weights)
                return self._with_costs(value, policy)
            except optuna.TrialPruned:
                if self.files is not None and not own.received:
                    self.files.finish(trial.study, trial.number, math.nan, math.inf, b"")
                raise
            except (FitStopped, KeyboardInterrupt):  # a second Ctrl-C does not wait for a step
                give_back()
            finally:
                if own.received:  # after the last step, and nobody further out will act on it
                    give_back()

    def _with_costs(self, value: float, policy: Policy) -> float | tuple[float, ...]:
        if len(self.objectives) == 1:
            return value
        flops = self.trainer.flops
        of_all = training_flops(flops, dict.fromkeys(flops, 1.0))
        costs = {
            "operations": training_flops(flops, policy) / of_all,
            "trained_share": self.trainer.trained_share(policy),
        }
        return (value, *(costs[name] for name in self.objectives[1:]))

    def _value(
        self,
        trial: optuna.Trial,
        frozen: FrozenTrial,
        policy: Policy,
        recipe: Recipe,
        checkpoint: Checkpoint | None,
        should_stop: Callable[[], bool],
    ) -> float:
        fold = generation_of(frozen) % len(self._folds)
        run = Run(
            policy=dict(policy),
            generation=generation_of(frozen),
            fold=fold,
            trained_share=self.trainer.trained_share(policy),
            training=training_key(policy, recipe, *self._identity, fold),
            recipe=meant(self.encoding, trial.params)[1],
        )
        if not policy.trained:
            run.outcome = "empty"
            self._finish(trial, run)
            return self.worst
        loop = SeedLoop(
            trainer=self.trainer,
            recipe=recipe,
            pretrained=self.pretrained,
            trial=trial,
            run=run,
            reported=max(frozen.intermediate_values, default=-1),  # before it was given back
            past=self._past_trainings(trial.study) if self._reuse else None,
            checkpoint=checkpoint,
            keep_weights=self.files is not None and self.files.keep_weights > 0,
            should_stop=should_stop,
        )
        try:
            run = loop.train(policy, self.seeds, *self._folds[fold])
        except optuna.TrialPruned:
            self._finish(trial, loop.run)
            raise
        self._finish(trial, run)
        return run.mean(self.recipe.metric) if run.outcome in TRAINED else math.nan

    def describe_data(self, study: optuna.Study) -> None:
        """Store how many images there are of what, and what data and network were warned about.

        The sizes say which differences are chance. They are stored once; warnings that another
        process had not given are added.
        """
        if self._described is study:
            return
        data = self.data
        sizes = {"train": len(data.train), "val": len(data.val), "test": len(data.test)}
        names = list(data.classes)[:_MOST_CLASSES]
        about = {**sizes, "classes": names}
        if not isinstance(data.train, Images):
            about["noun"] = data.train.noun
        if data.train.task != "classification":
            about["task"] = data.train.task
        stored = write_once(study, DATA_KEY, about)
        said = {"notices": self.data_notices, "model_notices": self.notices}
        if any(said.values()) and isinstance(stored, dict):

            def with_notices(about: Any) -> dict[str, Any]:
                about = about if isinstance(about, dict) else {}
                kept = {}
                for field, texts in said.items():
                    had = notices_in({DATA_KEY: about}, field)
                    both = dict.fromkeys([*had, *(text[:_LONGEST_NOTICE] for text in texts)])
                    kept[field] = [*both][:_MOST_NOTICES]
                return {**about, **{field: texts for field, texts in kept.items() if texts}}

            update(study, DATA_KEY, with_notices)
        if len(self.objectives) > 1 and study.metric_names is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(self.objectives))
        self._described = study

    def _checkpoint(
        self, study: optuna.Study, trial: FrozenTrial, policy: Policy, recipe: Recipe
    ) -> Checkpoint | None:
        if self.files is None or not policy.trained:
            return None
        model, data, n_folds = self._identity
        identity = {
            "model": model,
            "data": data,
            "fold": [generation_of(trial) % n_folds, n_folds],
            "policy": dict(policy),
            "seeds": list(self.seeds),
            **{f"recipe.{name}": v for name, v in recipe.as_dict().items()},
        }
        return self.files.checkpoint(study, trial.number, identity)

    def _past_trainings(self, study: optuna.Study) -> PastTrainings:
        past = self._past
        if past is None or past.study is not study:
            past = self._past = PastTrainings(study)
        return past

    def finalize(
        self,
        study: optuna.Study,
        *,
        top: int | None = None,
        seeds: Sequence[int] | None = None,
        race: bool = True,
        weights: str | os.PathLike[str] | None = None,
        references: Sequence[str] = REFERENCES,
        ending: Ending = DEFAULT_ENDING,
        again: bool = False,
        lease_seconds: float = LEASE_SECONDS,
        on_training: OnTraining | None = None,
    ) -> Final:
        """Train the best policies again, choose by held-out images, then test; see `finalize`.

        ``seeds`` are three by default, which the search has not used: a search's own training
        would be repeated with the luck that it was chosen for. A study that has been finalized
        gives its result, unless ``again`` is true: then the choice is made among all trials of
        now, and the test split is opened once more.
        """
        seeds = self.unused_seeds(3) if seeds is None else seeds
        if self.files is not None:
            self.files.clean(study)
        return finalize(
            self.trainer,
            study,
            top=top,
            seeds=seeds,
            race=race,
            weights=weights,
            references=references,
            ending=ending,
            pretrained=self.pretrained,
            encoding=self.encoding,
            files=self.files,
            again=again,
            lease_seconds=lease_seconds,
            on_training=on_training,
        )

    def unused_seeds(self, n: int) -> Sequence[int]:
        """Seeds that no trial trains with."""
        return range(max(self.seeds) + 1, max(self.seeds) + 1 + n)

    def _check_direction(self, study: optuna.Study) -> None:
        got = [direction.name.lower() for direction in study.directions]
        if study.directions != self.directions and len(self.objectives) > 1:
            raise ValueError(
                f"objectives {[*self.objectives]} need a study with directions="
                f"{[each.name.lower() for each in self.directions]}, got {got}"
            )
        if study.directions != self.directions:
            raise ValueError(
                f"metric {self.recipe.metric!r} needs a study with direction="
                f"{self.direction.name.lower()!r}, got {got}"
            )

    def newest_checkpoint(self, trial: optuna.Trial) -> str | None:
        """Name and time of the file that another worker would go on from, if there is one."""
        return self.files.newest(trial.study, trial.number) if self.files else None

    def _claimed(self, trial: optuna.Trial) -> FrozenTrial:
        """The trial as stored; under a sampler that records no owner, this process takes it."""
        frozen = stored_trial(trial)
        if owner_of(frozen) != Owner.of_this_process():
            write_trial_record(trial.study, frozen, trial_record(frozen))
        return frozen

    def _finish(self, trial: optuna.Trial, run: Run) -> None:
        if owner_of(stored_trial(trial)) != Owner.of_this_process():
            raise TrialPaused(f"trial {trial.number} belongs to another process by now")
        if self._recorded is not trial.study:
            record(trial.study, self.fingerprint)
            self._recorded = trial.study
        run.finished, run.fingerprint = utc_now(), self.fingerprint.digest
        run.device, run.device_name = str(self.device), device_name(self.device)
        attrs: dict[str, object] = {
            RUN_KEY: run.as_json(),
            "trained_share": round(run.trained_share, 6),
            "seconds": round(run.cost.seconds, 3),
        }
        if run.cost.flops_of_all:
            attrs["saved_work"] = round(1 - run.cost.flops / run.cost.flops_of_all, 4)
        tie = run.mean("loss")
        if self._tie_break and self.recipe.metric != "loss" and math.isfinite(tie):
            attrs[TIE_KEY] = tie
        set_user_attrs(trial, attrs)


def make_folds(data: Splits, n_folds: int) -> list[tuple[Examples, Examples]]:
    """Folds of the training and validation splits, in step."""
    if n_folds == 1:  # the very splits, whose frozen prefixes the finalists share
        return [(data.train, data.val)]
    names = data.classes if data.train.task == "classification" else ()
    train, val = (
        stratified_folds(strata(part.labels), n_folds, seed=0, classes=names)
        for part in (data.train, data.val)
    )
    return [(data.train.subset(t), data.val.subset(v)) for t, v in zip(train, val, strict=True)]
