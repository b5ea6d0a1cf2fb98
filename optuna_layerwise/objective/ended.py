"""The end of a search without its test: a contest, a choice, trainings on all labelled images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from optuna_layerwise.data import Examples
from optuna_layerwise.data.examples import joined
from optuna_layerwise.objective.contest import contest, ranked, trainings_of
from optuna_layerwise.objective.delivering import HandedOver, choose
from optuna_layerwise.objective.entrants import Entrant, MakeCheckpoint
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.final import Ending
from optuna_layerwise.training import Trainer

OnTraining: TypeAlias = Callable[[str, int, int], object]
"""Called with ``finalists`` or ``refit``, the trainings of that kind before, and their number at
most: a race may end a contest earlier."""


class _Counted:
    """Trainings of one kind."""

    def __init__(self, kind: str, on_training: OnTraining | None) -> None:
        self.total, self._before = 0, 0
        self._kind, self._on_training = kind, on_training

    def begin(self) -> None:
        """One more begins."""
        if self._on_training is not None:
            self._on_training(self._kind, self._before, self.total)
        self._before += 1


@dataclasses.dataclass(frozen=True, eq=False)
class Ended:
    """What came of the contest.

    Args:
        order: The entrants, best first.
        baselines: Those that what is handed over is compared with.
        handed_over: The trained networks.
        trained_on: The images that the networks were trained on, those of folds together.
        folds: In which the labelled images were held out; 1: the validation split alone.
    """

    order: list[Entrant]
    baselines: list[Entrant]
    handed_over: HandedOver
    trained_on: Examples
    folds: int


def ended(
    trainer: Trainer,
    best: Sequence[tuple[int, Policy, dict[str, Any]]],
    *,
    seeds: Sequence[int],
    race: bool,
    references: Sequence[str],
    ending: Ending,
    pretrained: bool,
    checkpoint: MakeCheckpoint | None = None,
    check: Callable[[], object] = lambda: None,
    on_training: OnTraining | None = None,
    compare: bool = True,
) -> Ended:
    """Let policies and baselines compete, choose, and train what is handed over.

    Args:
        trainer: What the study was run with.
        best: The finalists: number of the trial, policy, and what its recipe changes.
        seeds: The seeds of the trainings; see `finalize`.
        race: Train those that are clearly behind no further.
        references: Names of the `BASELINES` that take part.
        ending: What is compared, on which images, and what is handed over.
        pretrained: Whether the finalists start from the pretrained weights.
        checkpoint: Makes the checkpoint of a training; see `Entrant`.
        check: Called before each training; what it raises ends all.
        on_training: Called before each training.
        compare: Train the baselines, and the winner with all seeds, as a comparison needs it.
    """
    metric, data = trainer.recipe.metric, trainer.data
    labelled = joined(data.train, data.val)
    trainings = trainings_of(data, labelled, seeds, ending.folds)
    contested, refitted = _Counted("finalists", on_training), _Counted("refit", on_training)

    def begin() -> None:
        check()
        contested.begin()

    epochs = {"epochs": ending.epochs} if ending.epochs else {}
    finalists = [
        Entrant(
            trainer,
            f"trial {n}",
            policy,
            {**changes, **epochs},
            checkpoint=checkpoint,
            pretrained=pretrained,
        )
        for n, policy, changes in best
    ]
    baselines = [Entrant.baseline(trainer, name, epochs, checkpoint) for name in references]
    entrants = [*finalists, *baselines] if ending.compete else finalists
    contested.total = len([*finalists, *baselines]) * len(trainings)
    how: dict[str, Any] = {"metric": metric, "keep": not ending.refit, "check": begin}
    contest(entrants, trainings, race=race, **how)
    order = ranked(entrants, metric)
    choice = choose(order, trainings, metric, ending.deliver)
    compared = baselines if compare else []
    for entrant in order:
        if entrant not in (choice.winner, *choice.team, *compared):
            entrant.kept.clear()
    if not ending.compete:
        contest(compared, trainings, race=False, **how)
    if ending.refit:
        its_own = seeds if compare or choice.team else seeds[:1]
        pairs = choice.to_refit(compared, its_own)
        all_of_them = [(entrant, seed) for entrant, its_seeds in pairs for seed in its_seeds]
        refitted.total = len(all_of_them)
        for entrant, seed in all_of_them:
            check()
            refitted.begin()
            entrant.refit(seed, labelled)
    folds = 1 if trainings[0].held_out is data.val else len(trainings)
    trained_on = labelled if ending.refit or folds > 1 else data.train
    handed_over = HandedOver(trainer, choice, refit=ending.refit)
    return Ended(order, baselines, handed_over, trained_on, folds)
