"""The files of a study's trials: checkpoints of unfinished ones, weights of the best.

Both lie in a folder of the study, named by trial: ``trial-7.checkpoint``,
``trial-7.safetensors``. Trainings after the search have theirs, ``end-*.checkpoint``, until
there is a result. Files that nobody needs any more are removed whenever a trial begins or
finishes; a process that dies in between leaves them to the next one.

The folder's name says which study that is and in which database. A copy of the database, or the
same one at another place, reads the checkpoints of all folders of the study, but writes and
removes in its own alone: so nothing is lost where one was moved, nor where one is a backup.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from optuna_layerwise.io.files import remove_whole, write_whole
from optuna_layerwise.io.texts import readable
from optuna_layerwise.storage import all_trials, marks, place, standing_of, stored_marks
from optuna_layerwise.training import Checkpoint

_NAME = re.compile(r"(unfinished-\d+-(?:[\da-f]{8}-)?)?trial-(\d+)\.(checkpoint|safetensors)")


class TrialFiles:
    """Where trials keep their checkpoints and weights.

    Args:
        folder: Of all studies.
        keep_weights: Of how many of the best trials of a study.
        every: Of `Checkpoint`.

    Raises:
        ValueError: if a number is negative.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, keep_weights: int = 0, every: float = 10.0
    ) -> None:
        if keep_weights < 0:
            raise ValueError(f"keep_weights must be at least 0, got {keep_weights}")
        if not every >= 0:
            raise ValueError(f"checkpoint_seconds must be at least 0, got {every}")
        self.keep_weights = keep_weights
        self._folder = Path(folder)
        self._every = every

    def folder(self, study: optuna.Study) -> Path:
        """The study's own: what is readable of its name, which study it is, and in which place."""
        return self._named(study, *marks(study))

    def weights(self, study: optuna.Study, number: int) -> Path:
        """Where a trial's weights are, if they are kept."""
        return self.folder(study) / f"trial-{number}.safetensors"

    def checkpoint(
        self, study: optuna.Study, number: int, identity: Mapping[str, Any]
    ) -> Checkpoint:
        """The checkpoint of a trial that begins or goes on."""
        self.clean(study)
        identity = {"study": study.study_name, "trial": number, **identity}
        return Checkpoint(
            self._checkpoint_path(study, number),
            identity,
            every=self._every,
            saved=[path for _, path in self._saved(study, number)],
        )

    def of_the_end(
        self,
        study: optuna.Study,
        result: int,
        made_with: Mapping[str, Any],
        decides: Mapping[str, Any],
    ) -> Checkpoint:
        """The checkpoint of a training after the search.

        Args:
            study: The study.
            result: Number of the result that it is for.
            made_with: What decides all trainings of the study.
            decides: What decides this one.
        """
        identity = {"study": study.study_name, "result": result, **made_with, **decides}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        path = self.folder(study) / f"end-{digest[:32]}.checkpoint"
        return Checkpoint(path, {"digest": digest}, every=self._every)

    def forget_the_end(self, study: optuna.Study) -> None:
        """Remove the checkpoints of trainings after the search: their result is stored."""
        for path in self.folder(study).glob("end-*.checkpoint"):
            remove_whole(path)

    def newest(self, study: optuna.Study, number: int) -> str | None:
        """Name and UTC time of a trial's checkpoint, if there is one."""
        for seconds, path in self._saved(study, number):
            written = datetime.fromtimestamp(seconds, timezone.utc)
            return f"{path.name} of {written.isoformat(timespec='seconds')}"
        return None

    def finish(
        self,
        study: optuna.Study,
        number: int,
        value: float,
        tie: float,
        weights: bytes,
    ) -> None:
        """A trial is about to end: remove its checkpoint, keep its weights if among the best.

        Args:
            study: The study.
            number: Of the trial.
            value: That it will have.
            tie: Decides between equal values.
            weights: Content of their file; empty if it trained nothing of its own.
        """
        files, trials = self._found(study), all_trials(study)
        direction = study.directions[0]
        kept = {
            n: standing_of(trials[n], direction)
            for _, n, kind in files
            if kind == "safetensors" and n < len(trials) and trials[n].state == TrialState.COMPLETE
        }
        if weights and math.isfinite(value):
            kept[number] = place(trials[number], direction, value=value, tie=tie)
        order = sorted(kept, key=kept.__getitem__)
        best = order[: self.keep_weights]
        try:
            if number in best:
                write_whole(self.weights(study, number), weights)
        except OSError as error:
            warnings.warn(f"the weights of trial {number} are not kept: {error}", stacklevel=2)
        for other in {number, *order}.difference(best):
            remove_whole(self.weights(study, other))
        remove_whole(self._checkpoint_path(study, number))

    def clean(self, study: optuna.Study) -> None:
        """Remove checkpoints of finished trials, and weights of those that did not complete."""
        for path in self.unneeded(study):
            remove_whole(path)

    def unneeded(self, study: optuna.Study) -> list[Path]:
        """What `clean` would remove."""
        files = self._found(study)
        trials = all_trials(study)  # read after the files, so that no trial is too new for it
        unneeded = []
        for path, number, kind in files:
            state = trials[number].state if number < len(trials) else TrialState.FAIL
            if state.is_finished() and (kind, state) != ("safetensors", TrialState.COMPLETE):
                unneeded.append(path)
        return unneeded

    def checkpoints(self, study: optuna.Study) -> dict[int, Path]:
        """The checkpoints in the study's own folder, by the number of their trial."""
        return {number: path for path, number, kind in self._found(study) if kind == "checkpoint"}

    def _checkpoint_path(self, study: optuna.Study, number: int) -> Path:
        return self.folder(study) / f"trial-{number}.checkpoint"

    def _saved(self, study: optuna.Study, number: int) -> list[tuple[float, Path]]:
        """When and where a trial was saved, newest first; then what version 0.1.0 has saved."""
        found = stored_marks(study)
        own = [] if found is None else self._folder.glob(self._named(study, found[0], "*").name)
        digest = hashlib.sha256(study.study_name.encode("utf-8", "surrogatepass")).hexdigest()
        older = self._folder / f"{readable(study.study_name)}-{digest[:8]}"
        times: list[tuple[float, Path]] = []
        for folders in (own, [older]):
            known = []
            for path in (folder / f"trial-{number}.checkpoint" for folder in folders):
                with suppress(OSError):  # there is none, or no longer
                    known.append((path.stat().st_mtime, path))
            times += sorted(known, reverse=True)
        return times

    def _named(self, study: optuna.Study, which: str, where: str) -> Path:
        return self._folder / f"{readable(study.study_name)}-{which}-{where}"

    def _found(self, study: optuna.Study) -> list[tuple[Path, int, str]]:
        """The files of trials in the study's own folder, with their number and what they are."""
        found = stored_marks(study)
        folder = None if found is None else self._named(study, *found)
        paths = list(folder.iterdir()) if folder is not None and folder.is_dir() else []
        names = [(path, _NAME.fullmatch(path.name)) for path in paths]
        return [(path, int(n[2]), "unfinished" if n[1] else n[3]) for path, n in names if n]
