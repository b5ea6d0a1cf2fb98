"""How a study keeps to a budget: what its search may cost, and what is kept for its end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.baselines import BASELINES, REFERENCES
from optuna_layerwise.cost import Budget, Cost, training_flops
from optuna_layerwise.data.examples import joined
from optuna_layerwise.data.folds import folds_for_finalists
from optuna_layerwise.io.plain import MANY
from optuna_layerwise.objective.finalists import n_finalists
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe_methods import Regression
from optuna_layerwise.records.final import (
    DEFAULT_ENDING,
    Ending,
    Final,
    count_finals,
    stored_final,
)
from optuna_layerwise.records.run import Run, readable_runs

if TYPE_CHECKING:
    import optuna

    from optuna_layerwise.experiments.settings import Settings
    from optuna_layerwise.objective.finetune import FinetuneObjective

_LAST = 10
"""Trials whose median says what the next one costs."""
_FEW = 3
"""Trials from which on they alone say what others cost: a search that ended early is over."""
_FREE = 100
"""Trials in a row that only repeat what others have trained: then the search has seen all."""
_RACED = 0.6
"""Share of their trainings that a race leaves to those behind; benchmarks/results/economy.md."""
_MOST = 1 / 3
"""Share of the budget that the end may take, unless it is the least end."""
_WARMING_UP = 4
"""Images of the first training, whose time does not count."""
_LONGEST = 10.0
"""Seconds that the measured steps may take."""
_SLACK = 0.02
"""Share of the budget by which the end may exceed what the search has left."""


@dataclasses.dataclass(frozen=True)
class End:
    """The size of a search's end.

    Args:
        finalists: Policies that take part.
        seeds: Trainings of each one, and of each that is trained on all labelled images.
        folds: The first in their place, where they are more than 1; see `Ending`.
        cost: What it is expected to cost, in the unit of the budget.
    """

    finalists: int
    seeds: int
    folds: int
    cost: float = 0.0

    @property
    def trainings(self) -> int:
        """How often each finalist and baseline is trained in the contest, if no race ends it."""
        return self.folds if self.folds > 1 else self.seeds


@dataclasses.dataclass(frozen=True)
class _Rates:
    """The expected cost of trainings that are still to come.

    Args:
        trial: The next trial.
        image: Training on one image with a trial's policy.
        image_of_all: Training on one image with every block trained.
        forward: One image that is only classified.
        epochs: The number of epochs of a training, if it has as many as in the search.
        refit: The number of epochs of a training without validation.
        head: Fitting a head, once for each set of training images.
    """

    trial: float
    image: float
    image_of_all: float
    forward: float
    epochs: float
    refit: float
    head: float = 0.0


class Plan:
    """A budget, and how one study keeps to it.

    The end is planned first. Its finalists, seeds and folds are those that are asked for, or
    fewer, so that it takes at most a third of the budget where it can. The search has the rest,
    and is over when one more trial would no longer fit. Then the end is made to fit into what is
    left. All of this follows from the finished trials, so workers agree without a word, and
    trials that run count with what they are expected to cost.

    Args:
        objective: The objective of the study.
        budget: The budget, or a text for `Budget.parsed`.
        trials: Most finished trials of the search.
        finalists: Most finalists; ``None`` as in `finalize`.
        seeds: Most seeds of a finalist; three by default that the search has not used.
        race: Whether those that are clearly behind drop out.
        ending: How the search ends.

    Raises:
        ValueError: if the budget cannot be read; before the first trial also if it has no room
            for one trial and the least end.

    Examples:
        >>> import optuna
        >>> from optuna_layerwise import FinetuneObjective, Recipe
        >>> from optuna_layerwise.studies import work
        >>> objective = FinetuneObjective(
        ...     model="digits_cnn", data="digits", recipe=Recipe(epochs=1)
        ... )
        >>> plan = Plan(objective, "24trainings")
        >>> study = optuna.create_study(direction="maximize")
        >>> work(study, objective, n_finished=plan.n_finished)
        True
        >>> final = objective.finalize(study, **plan.arguments(plan.end(study)))
        >>> sum(plan.spent(study)) <= 26
        True
    """

    def __init__(
        self,
        objective: FinetuneObjective,
        budget: Budget | str,
        *,
        trials: int = MANY,
        finalists: int | None = None,
        seeds: Sequence[int] | None = None,
        race: bool = True,
        ending: Ending = DEFAULT_ENDING,
    ) -> None:
        self.budget = Budget.parsed(budget) if isinstance(budget, str) else budget
        self._objective, self._trials, self._finalists = objective, trials, finalists
        self._seeds = objective.unused_seeds(3) if seeds is None else seeds
        self._race, self._ending = race, ending
        data = objective.data
        self._n_images = len(data.train), len(data.val)
        self._n_labelled, folds = sum(self._n_images), ending.folds
        if folds is None:
            folds = len(folds_for_finalists(joined(data.train, data.val)))
        self._folds = max(folds, 1)
        methods = [BASELINES[name].recipe.get("method") for name in REFERENCES]
        self._probes = sum(isinstance(method, Regression) for method in methods)
        self._others = len(methods) - self._probes
        self._longer = (ending.epochs or objective.recipe.epochs) / objective.recipe.epochs
        self._known: dict[int, Run] = {}

    @classmethod
    def of(cls, settings: Settings, objective: FinetuneObjective) -> Plan | None:
        """The plan of a study's settings, if they have a budget."""
        if settings.budget is None:
            return None
        return cls(
            *(objective, settings.budget),
            trials=settings.trials,
            finalists=settings.finalists,
            seeds=settings.seeds_of_finalists(objective),
            race=settings.race,
            ending=settings.ending,
        )

    def check(self) -> None:
        """Refuse a budget that has no room for one trial and the least end."""
        rates = self._guessed
        needed = rates.trial + self._with_cost(End(1, 1, 1), rates).cost
        if needed > self.budget.amount:
            counted = self.budget.unit == "trainings"
            cheaper = "" if counted else ", or lower --epochs or --image-size"
            raise ValueError(
                f"--budget is too small: one trial, and one finalist that is trained once beside "
                f"{self._others + self._probes} baselines, take about "
                f"{self.budget.words(needed)}, got {self.budget.words()}; raise it{cheaper}"
            )

    def n_finished(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> int:
        """The number of finished trials with which the search is over, as things stand.

        Args:
            study: The study.
            trials: All of its trials.
        """
        finished = sum(trial.state.is_finished() for trial in trials)
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        more, _ = self._planned(self._runs(study, trials), finished)
        return min(self._trials, finished + max(more, running))

    def end(self, study: optuna.Study) -> End:
        """The end that fits into what the search has left."""
        trials = study.get_trials(deepcopy=False)
        finished = sum(trial.state.is_finished() for trial in trials)
        return self._planned(self._runs(study, trials), finished, searched=True)[1]

    def arguments(self, end: End) -> dict[str, Any]:
        """Keyword arguments for `FinetuneObjective.finalize`."""
        return {
            "top": end.finalists,
            "seeds": self._seeds[: end.seeds],
            "race": self._race,
            "ending": dataclasses.replace(self._ending, folds=end.folds),
        }

    def spent(self, study: optuna.Study) -> tuple[float, float]:
        """What the search and its end have cost, in the unit of the budget."""
        runs = self._runs(study, study.get_trials(deepcopy=False))
        finals = [stored_final(study, n + 1) for n in range(count_finals(study))]
        of_ends = (self._of_end(final) for final in finals if final is not None)
        return sum(map(self._of_trial, runs)), sum(of_ends)

    def expected(self, study: optuna.Study) -> tuple[float, float]:
        """The expected costs of all further trials, and of the end, in the unit of the budget."""
        trials = study.get_trials(deepcopy=False)
        finished = sum(trial.state.is_finished() for trial in trials)
        runs = self._runs(study, trials)
        more, end = self._planned(runs, finished)
        return more * self._rates(runs).trial, end.cost

    def words(self, study: optuna.Study) -> str:
        """One line: how many trials there will be, and what the end takes."""
        trials = study.get_trials(deepcopy=False)
        finished = sum(trial.state.is_finished() for trial in trials)
        more, end = self._planned(self._runs(study, trials), finished)
        parts = ("finalist", end.finalists), ("training", end.trainings)
        finalists, trainings = (f"{n} {name}{'s' * (n > 1)}" for name, n in parts)
        return (
            f"planned for the budget of {self.budget.words()}: about {finished + more} trials; "
            f"at the end {finalists} and {self._others + self._probes} baselines with up to "
            f"{trainings} each, {self._share(end.cost)}"
        )

    def words_after(self, study: optuna.Study, end: End) -> str:
        """One line: what was spent, and what was planned for the end."""
        search, ending = self.spent(study)
        return (
            f"spent of the budget of {self.budget.words()}: {self._share(search + ending)}, "
            f"{self._share(search)} in the search and {self._share(ending)} in its end, for which "
            f"{self._share(end.cost)} were planned"
        )

    def _share(self, amount: float) -> str:
        return f"{amount / self.budget.amount:.0%}"

    def _planned(
        self, runs: Sequence[Run], finished: int, *, searched: bool = False
    ) -> tuple[int, End]:
        """The number of trials that are still to come, and the end."""
        rates = self._rates(runs)
        left = self.budget.amount - sum(map(self._of_trial, runs))
        room = left + _SLACK * self.budget.amount if searched else _MOST * self.budget.amount
        nothing_new = len(runs) >= _FREE and not any(map(_trainings, runs[-_FREE:]))
        searched |= nothing_new
        for smaller in self._ends():
            end, more = self._with_cost(smaller, rates), 0
            if not searched:
                more = max(0, min(int((left - end.cost) / rates.trial), self._trials - finished))
            if end.cost <= room and end.finalists <= (
                self._finalists or n_finalists(finished + more)
            ):
                break
        return more, end

    def _ends(self) -> Iterator[End]:
        """From the largest to the least: fewer finalists, then fewer seeds, then no folds."""
        seeds = len(self._seeds)
        for finalists in range(self._finalists or n_finalists(MANY), 0, -1):
            yield End(finalists, seeds, self._folds)
        for fewer in range(seeds - 1, 0, -1):
            yield End(1, fewer, self._folds)
        yield End(1, 1, 1)

    def _with_cost(self, end: End, rates: _Rates) -> End:
        """The end with what it is expected to cost, the usual saving of a race left out."""
        n_train, n_val = map(float, self._n_images)
        if end.folds > 1:
            n_val = self._n_labelled / end.folds
            n_train = self._n_labelled - n_val

        def price(epochs: float, trained: float, validated: float, rate: float) -> float:
            if self.budget.unit == "trainings":
                return 1.0
            return epochs * (trained * rate + validated * rates.forward)

        epochs = self._longer * rates.epochs
        finalist = price(epochs, n_train, n_val, rates.image)
        other = price(epochs, n_train, n_val, rates.image_of_all)
        probe = price(1, n_train, n_val, rates.forward)
        n = end.trainings
        behind = max(1.0, _RACED * n) if self._race else float(n)
        cost = (n + (end.finalists - 1) * behind) * finalist + self._probes * n * probe
        cost += rates.head * ((end.folds > 1) * end.folds + self._ending.refit)
        cost += self._others * (behind if self._ending.compete else n) * other
        if self._ending.refit:
            finalist, other, probe = (
                price(epochs, self._n_labelled, 0, rate)
                for epochs, rate in (
                    (self._longer * rates.refit, rates.image),
                    (self._longer * rates.refit, rates.image_of_all),
                    (1, rates.forward),
                )
            )
            in_team = 0.0 if self._ending.deliver == "one" else (end.finalists - 1) / 2
            cost += (end.seeds + in_team) * finalist + self._probes * probe
            cost += self._others * end.seeds * other
        return dataclasses.replace(end, cost=cost)

    def _rates(self, runs: Sequence[Run]) -> _Rates:
        """From the trials so far that trained something, or a guess before the first one."""
        trained = [run for run in runs if self._of_trial(run) > 0 and run.cost.images_seen]
        whole = [run for run in trained if run.outcome == "complete"] or trained
        if not whole:
            self.check()
            return self._guessed
        cost = sum((run.cost for run in trained), Cost())
        n_train, n_val = self._n_images
        per_image = self.budget.spent(cost, 0) / cost.images_seen
        heads = [h for run in trained if (h := run.cost.phases.get("head", 0.0))] or [0.0]
        if self.budget.unit == "seconds":
            per_image -= sum(heads) / cost.images_seen
            validation = cost.phases.get("evaluation", 0.0) / cost.seconds
        else:
            forward = sum(self._objective.trainer.flops.values())
            validation = forward * n_val / (forward * n_val + self._training_flops(1.0) * n_train)
        image = per_image * (1 - validation)
        seen = sum(run.cost.images_seen for run in whole) / sum(map(_trainings, whole))
        best = [epoch + 1 for run in whole for epoch in run.best_epochs if epoch is not None]
        rates = _Rates(
            trial=median(map(self._of_trial, trained[-_LAST:])),
            image=image,
            image_of_all=image * cost.flops_of_all / (cost.flops or 1.0),
            forward=per_image * validation * n_train / n_val,
            epochs=seen * self._objective.n_folds / n_train,
            refit=max(math.ceil(self._objective.recipe.epochs / 2), fmean(best or [0])),
            head=fmean(heads) if self.budget.unit == "seconds" else 0.0,
        )
        if len(trained) >= _FEW:
            return rates
        both = dataclasses.astuple(rates), dataclasses.astuple(self._guessed)
        return _Rates(*map(min, *both))

    def _training_flops(self, rest: float) -> float:
        """On an image, with the head trained, and with the ``rest`` if that is not 0."""
        flops = self._objective.trainer.flops
        return training_flops(flops, {**dict.fromkeys(flops, rest), [*flops][-1]: 1.0})

    @cached_property
    def _guessed(self) -> _Rates:
        """Before the first trial: all epochs of a policy between the head alone and every block.

        In seconds a few steps of training every block are timed.
        """
        objective, trainer, operation = self._objective, self._objective.trainer, 1.0
        of_all, of_head = self._training_flops(1.0), self._training_flops(0.0)
        if self.budget.unit == "seconds":
            operation = self._seconds_of_an_operation()
        image, forward = (
            (of_all + of_head) / 2 * operation,
            sum(trainer.flops.values()) * operation,
        )
        trial, epochs = float(len(objective.seeds)), objective.recipe.epochs
        if self.budget.unit != "trainings":
            n_train, n_val = self._n_images
            trial *= epochs * (n_train * image + n_val * forward) / objective.n_folds
        return _Rates(trial, image, of_all * operation, forward, epochs, epochs)

    def _seconds_of_an_operation(self) -> float:
        """From two steps that train every block; of a slow network, from one with few images."""
        objective, trainer = self._objective, self._objective.trainer
        recipe = dataclasses.replace(
            trainer.recipe, epochs=1, patience=None, method=None, head_start="random"
        )

        def cost(n: int) -> Cost:
            some = objective.data.train.subset(np.arange(n))
            return trainer.train(
                Policy.uniform(objective.blocks), some, None, 0, recipe=recipe
            ).cost

        n = min(2 * objective.recipe.batch_size, len(objective.data.train))
        few = min(_WARMING_UP, n)
        warm = cost(few)  # the first training warms the device up
        timed = cost(n if warm.seconds * n < _LONGEST * few else few)
        return timed.seconds / timed.flops

    def _runs(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> list[Run]:
        """What the finished trials trained, in their order; each is read once."""
        new = [t for t in trials if t.state.is_finished() and t.number not in self._known]
        self._known |= readable_runs(study, new)
        return [run for _, run in sorted(self._known.items())]

    def _of_trial(self, run: Run) -> float:
        return self.budget.spent(run.cost, _trainings(run))

    def _of_end(self, final: Final) -> float:
        everyone = {each.name: each for each in (*final.baselines, *final.finalists)}
        compared = {final.chosen.name, *(each.name for each in final.baselines)}
        given = final.delivered
        trainings = sum(len(each.val) for each in everyone.values())
        if given is not None and given.refit:
            trainings += len(final.chosen.test)
            trainings += sum(len(b.test) for b in final.baselines if b.name != final.chosen.name)
            trainings += sum(member.name not in compared for member in given.members)
        parts = [Cost(flops=c.flops, seconds=c.seconds) for c in everyone.values()]
        return self.budget.spent(sum(parts, Cost()), trainings)


def _trainings(run: Run) -> int:
    """Those of its own, the one that was cut short included."""
    return run.repeats.count(None) + (run.outcome == "pruned")
