"""What a report knows of a study, read once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from optuna_layerwise.analysis.history import History, Row, number, read, setups_in
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.final import Final
from optuna_layerwise.reporting.report_grid import clean
from optuna_layerwise.storage import DATA_KEY, notices_in

NO_VALUE = ("diverged", "out of memory", "failed")
"""Outcomes that should not have been."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """A study as reports need it.

    Args:
        history: Its trials.
        images: ``train``, ``val``, ``test`` to the number of images; empty if not known.
        classes: Names; empty if not known.
        noun: What the examples are: images, or texts.
        task: What the network answers, a name in ``tasks.TASKS``.
        notices: What was warned about the data.
        model_notices: What the network was warned about.
        setups: The stored fingerprints of what trials were made with.
    """

    history: History
    images: Mapping[str, int]
    classes: Sequence[str]
    setups: Sequence[Mapping[str, Any]]
    noun: str = "images"
    task: str = "classification"
    notices: Sequence[str] = ()
    model_notices: Sequence[str] = ()

    @property
    def final(self) -> Final | None:
        """Its result, if it has been finalized and can be read."""
        return self.history.final

    @property
    def unreadable(self) -> str:
        """Why the result cannot be read; empty if it can."""
        return self.history.unreadable

    @property
    def metric(self) -> str:
        """What the value is; ``value`` if nothing says so."""
        if self.final is not None:
            return self.final.metric
        named = [recipe["metric"] for recipe in self._recipes if "metric" in recipe]
        known = self.history.metric
        return clean(named[0] if named and known == "value" else known)

    @property
    def recipe(self) -> Mapping[str, Any] | None:
        """The settings', or the one that all trials had; ``None`` where that is not known."""
        return self.history.recipe or None

    @property
    def _recipes(self) -> list[dict[str, Any]]:
        found = [setup.get("recipe") for setup in self.setups]
        return [recipe for recipe in found if isinstance(recipe, dict)]

    @property
    def finished(self) -> list[Row]:
        """Finished trials."""
        return [row for row in self.history.rows if row.finished]

    @property
    def outcomes(self) -> Counter[str]:
        """How the finished trials ended."""
        return Counter(row.outcome for row in self.finished)

    @property
    def best(self) -> Row | None:
        """The best trial of the search, whatever was chosen."""
        return next(iter(self.history.best_first), None)

    def total(self, field: str) -> float:
        """The sum of a field of all runs."""
        return sum(number(row.run.get(field)) or 0.0 for row in self.history.rows)

    @property
    def seconds(self) -> float:
        """Of all trials."""
        return sum(row.seconds or 0.0 for row in self.finished)

    @property
    def devices(self) -> list[str]:
        """That trials ran on."""
        runs = [row.run for row in self.history.rows]
        names = [run.get("device_name") or run.get("device") for run in runs]
        return sorted({clean(name) for name in names if name})

    @property
    def saved(self) -> float | None:
        """The share of the operations that training every block would have cost beyond these."""
        of_all = self.total("flops_of_all")
        return 1 - self.total("flops") / of_all if of_all else None

    @property
    def validation_images(self) -> int | None:
        """That one training is validated on; fewer where folds share them."""
        n, folds = self.images.get("val"), number(self.history.settings.get("n_folds")) or 1
        return None if not n else int(n // folds)


def facts(study: optuna.Study, *, result: int | None = None) -> Facts:
    """Read a study; what cannot be read is said, not raised.

    Args:
        study: The study.
        result: Number of the result to take, from 1; the latest by default.
    """
    history = read(study, result=result)
    about = history.attributes.get(DATA_KEY)
    about = about if isinstance(about, dict) else {}
    sizes = {split: number(about.get(split)) for split in ("train", "val", "test")}
    return Facts(
        history=history,
        images={split: int(n) for split, n in sizes.items() if n and n > 0},
        classes=_texts(about.get("classes")),
        setups=setups_in(history.attributes),
        noun=clean(str(about.get("noun", "images"))),
        task=clean(str(about.get("task", "classification"))),
        notices=_texts(notices_in(history.attributes)),
        model_notices=_texts(notices_in(history.attributes, "model_notices")),
    )


def _texts(stored: Any) -> list[str]:
    return [clean(text) for text in stored] if isinstance(stored, list) else []


def changed_recipe(
    recipe: Mapping[str, Any] | None, tuned: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The recipe that was trained with."""
    return Recipe.from_dict(recipe).changed(tuned).as_dict() if recipe and tuned else recipe
