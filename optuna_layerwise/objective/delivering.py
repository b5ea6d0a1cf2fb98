"""What is handed over after a contest: one network or a team, what it promises, its file."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_model

from optuna_layerwise.data import Examples, Images, Tokenizing
from optuna_layerwise.data.decode import Decoding
from optuna_layerwise.io.files import whole_file
from optuna_layerwise.io.packages import installed_versions
from optuna_layerwise.models.team import Team, save_team
from optuna_layerwise.objective.contest import Training
from optuna_layerwise.objective.entrants import Entrant, Logits, Network
from optuna_layerwise.objective.per_image import per_image
from optuna_layerwise.objective.selection import (
    bias_corrected,
    lead,
    plausible_from,
    select_members,
)
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Metric
from optuna_layerwise.records.final import Candidate, Deliver, Delivered, Estimate, Member
from optuna_layerwise.records.predictions import Predictions
from optuna_layerwise.records.run import finite_or_none
from optuna_layerwise.records.saved_network import SavedNetwork
from optuna_layerwise.tasks import task_of
from optuna_layerwise.training import Trainer

_PACKAGES = ("optuna-layerwise", "torch", "torchvision", "timm", "transformers", "pillow")


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """Who is handed over, by held-out images alone.

    Args:
        winner: The best of the contest.
        team: Who is in the team, with their shares of its probabilities: several, or the winner
            with several trainings; empty for a single network.
        held_out: Metrics of what is handed over on all held-out images.
        other: Metrics of the alternative on the same images: of the team where the winner is
            handed over, of the winner where the team is; empty if there was no team.
        promised: The estimate of the study's metric for what is handed over.
        plausible: The probability from which on a class is plausible; see `plausible_from`.
    """

    winner: Entrant
    team: dict[Entrant, float]
    held_out: dict[str, float]
    other: dict[str, float]
    promised: Estimate | None
    plausible: float | None = None

    def to_refit(
        self, baselines: Sequence[Entrant], seeds: Sequence[int]
    ) -> Iterator[tuple[Entrant, Sequence[int]]]:
        """Who is to be trained on all labelled images, with which seeds.

        The winner and the baselines are trained with every seed: the test metrics then show how
        much another seed changes. A fitted probe is the same with any seed and is trained once.
        Other members of the team are trained with as many seeds as their share says, rounded up.
        """
        everyone = dict.fromkeys([self.winner, *self.team, *baselines])
        compared = {self.winner, *baselines}
        for entrant in everyone:
            share = 1.0 if entrant in compared else self.team[entrant]
            n = 1 if entrant.is_probe else math.ceil(share * len(seeds))
            yield entrant, seeds[:n]


def choose(
    order: Sequence[Entrant], trainings: Sequence[Training], metric: Metric, deliver: Deliver
) -> Choice:
    """The winner of a contest alone, or a team of those who have had all trainings.

    The team is chosen by ensemble selection (see `select_members`), where its log-loss on
    held-out images is smaller than that of the winner. Otherwise it is the winner, trained with
    every seed: the log-loss of mean probabilities is at most the mean of the log-losses.

    Args:
        order: The entrants, best first.
        trainings: Those of the contest.
        metric: Of the study.
        deliver: What is asked for.
    """
    winner, parts = order[0], [each.held_out for each in trainings]
    task, classes = task_of(parts[0]), parts[0].classes
    labels = np.concatenate([part.labels for part in parts])
    whole = [e for e in order if len(e.fits) == len(trainings) and not e.diverged]
    alone = task.measure(winner.logits, labels, classes)
    if winner not in whole:
        return Choice(winner, {}, alone, {}, None)  # everything diverged
    every = np.stack([entrant.probabilities for entrant in whole])
    units = _units(parts)
    team = dict[Entrant, float]()
    if deliver != "one" and len(whole) > 1:
        weights = select_members(every, labels, task=task)
        team = {entrant: float(w) for entrant, w in zip(whole, weights, strict=True) if w > 0}
    if len(team) > 1:
        mixed = np.tensordot([team.get(entrant, 0.0) for entrant in whole], every, axes=1)
        together = task.measure(task.outputs_of(mixed), labels, classes)
        if deliver == "team" or together["loss"] < alone["loss"]:
            promised = bias_corrected(mixed[None], labels, metric, task=task, groups=units)
            known = plausible_from(mixed, labels) if task.has_classes else None
            return Choice(winner, team, together, alone, promised, known)
    promised = bias_corrected(every, labels, metric, task=task, groups=units)
    other = together if len(team) > 1 else {}
    members = {} if deliver == "one" else {winner: 1.0}
    known = plausible_from(winner.probabilities, labels) if task.has_classes else None
    return Choice(winner, members, alone, other, promised, known)


class HandedOver:
    """The networks in the file, and what they say of images.

    Args:
        trainer: Of the study.
        choice: Whose networks these are, once they are trained.
        refit: Whether it is the networks that were trained on all labelled images; the winner
            alone is then that of the first seed, and else the one that validated best.
    """

    def __init__(self, trainer: Trainer, choice: Choice, *, refit: bool) -> None:
        self._trainer, self._choice, self._refit = trainer, choice, refit
        winner = choice.winner
        self.members = [
            (entrant, network, weight / len(networks))
            for entrant, weight in choice.team.items()
            for networks in [entrant.refitted if refit else entrant.kept]
            for network in networks
        ]
        if not self.members:
            best = winner.refitted[0] if refit else winner.best_network(trainer.recipe.metric)
            self.members = [(winner, best, 1.0)]
        models = [entrant.model(network) for entrant, network, _ in self.members]
        weights = [weight for *_, weight in self.members]
        self._task = task_of(trainer.data.train)
        several = len(models) > 1
        self._model = Team(models, weights, self._task.name) if several else models[0]
        self._said: dict[Network, Logits] = {}

    @property
    def network(self) -> torch.nn.Module:
        """The network, or the `Team`."""
        return self._model

    @cached_property
    def work(self) -> float:
        """Operations to classify an image, in those of a single network."""
        if not isinstance(self._model, Team):
            return 1.0
        return self._model.work(self._trainer.example.to(self._trainer.device))

    @property
    def policy(self) -> Policy:
        """That of the winner."""
        return self._choice.winner.policy

    @property
    def held_out(self) -> dict[str, float]:
        """Metrics on all held-out images, of what was chosen before it was trained again."""
        return self._choice.held_out

    @contextlib.contextmanager
    def saved(self, path: Path) -> Iterator[dict[str, str]]:
        """Write the network, or the team; yields the path and the SHA-256.

        The file has its name when the ``with`` block has ended, and is gone after an error in it.
        """
        about = {"policy": json.dumps(dict(self._choice.winner.policy))}
        about |= _described(self._trainer, self._choice.plausible).as_metadata()
        with whole_file(path) as unfinished:
            if isinstance(self._model, Team):
                save_team(self._model, unfinished, about)
            else:
                save_model(self._model, str(unfinished), metadata=about)
            digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()
            yield {"path": str(path.absolute()), "sha256": digest}

    def tested(
        self, test: Examples, baselines: Sequence[Entrant], folds: int
    ) -> tuple[Candidate, list[Candidate], Delivered]:
        """The winner, the baselines and what is handed over, with their test metrics.

        Args:
            test: The test images.
            baselines: What it is compared with.
            folds: Of the contest, for the record.
        """
        trainer, choice = self._trainer, self._choice

        def judged(logits: Logits) -> dict[str, float]:
            return self._task.measure(logits, test.labels, test.classes)

        compared = dict.fromkeys([choice.winner, *baselines])
        said = {
            entrant: [
                self._said_by(entrant, network, test)
                for network in entrant.refitted or entrant.kept
            ]
            for entrant in compared
        }
        candidates = {e: e.candidate([judged(logits) for logits in said[e]]) for e in compared}
        its = trainer.outputs(self._model, test).cpu()
        metric, leads = trainer.recipe.metric, {}
        for baseline in baselines:
            theirs = np.stack([self._task.answers(logits) for logits in said[baseline]])
            ours = self._task.answers(its)
            if ahead := lead(ours, theirs, test.labels, metric, task=self._task):
                leads[baseline.name] = ahead
        one = sum(trainer.flops.values())
        delivered = Delivered(
            members=[
                Member(e.name, dict(e.policy), e.changes, n.seed, weight, n.epochs)
                for e, n, weight in self.members
            ],
            folds=folds,
            refit=self._refit,
            held_out=finite_or_none(choice.held_out),
            other=finite_or_none(choice.other),
            promised=choice.promised,
            test=finite_or_none(judged(its)),
            leads=leads,
            flops=self.work * one,
            flops_of_one=one,
        )
        self._its = its
        return candidates[choice.winner], [candidates[b] for b in baselines], delivered

    def per_image(self, test: Examples, trained_on: Examples) -> Predictions | None:
        """What it says of each image that it was `tested` on.

        Args:
            test: The same images.
            trained_on: What its networks were trained on.

        Returns:
            ``None`` unless each image has one class.
        """
        members = None
        if not self._task.has_classes:
            return None
        if len(self.members) > 1:
            said = (self._said_by(entrant, network, test) for entrant, network, _ in self.members)
            members = np.stack([self._task.answers(logits).astype(np.float32) for logits in said])
        return per_image(test, trained_on, self._task.answers(self._its), members)

    def _said_by(self, entrant: Entrant, network: Network, test: Examples) -> Logits:
        """Logits of one network, of which each is asked once."""
        if network not in self._said:
            model = entrant.model(network)
            self._said[network] = self._trainer.outputs(model, test).cpu()
        return self._said[network]


def _described(trainer: Trainer, plausible: float | None) -> SavedNetwork:
    """How the trainer's network is built, and what images it takes."""
    spec, data = trainer.spec, trainer.data
    decoding, name, config = data.decoding, spec.name, {}
    takes: dict[str, Any] = {"takes": "arrays"}
    if isinstance(decoding, Tokenizing):
        takes = {"takes": "texts", **dataclasses.asdict(decoding)}
    elif isinstance(data.train, Images):
        decoding = decoding or Decoding(spec.image_size)
        takes = {"resize": decoding.resize, "value_range": decoding.value_range}
    if name.startswith("transformers/"):  # what follows may be a folder of this machine
        own: Any = trainer.model()
        config = json.loads(own.config.to_json_string(use_diff=False))
        name, config["_name_or_path"] = f"transformers/{config['model_type']}", ""
    return SavedNetwork(
        model=name,
        args={} if config else spec.all_args,
        config=config,
        classes=data.classes,
        mean=spec.mean,
        std=spec.std,
        image_size=spec.image_size,
        **takes,
        plausible=plausible,
        task=data.train.task,
        scale=data.train.scale,
        versions=installed_versions(_PACKAGES),
    )


def _units(parts: Sequence[Examples]) -> NDArray[np.int64]:
    """For each held-out image what is resampled with it: its group, or the image itself."""
    names = [name for part in parts for name in (part.groups or part.names)]
    return np.unique(names, return_inverse=True)[1]
