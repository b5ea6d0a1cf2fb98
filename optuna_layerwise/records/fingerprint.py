"""What trials are made with: two setups do not mix in one study unnoticed.

Each distinct fingerprint is stored once, with the study; a trial's run names its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import optuna

from optuna_layerwise.io.packages import version_of
from optuna_layerwise.io.plain import there_and_here
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.attributes import VERSION_FIELD, UnreadableAttribute, read
from optuna_layerwise.storage import all_study_attrs, write_once

FINGERPRINT_KEY = "olw:fingerprint:"
"""Study user attribute: a `Fingerprint` as JSON; its digest follows."""
PACKAGES = ("optuna-layerwise", "optuna", "torch", "torchvision", "numpy", "cmaes")
_VERSION = 1
_ROOT = Path(__file__).parents[1]
_DECIDES = (
    *("baselines", "data", "encodings", "models", "objective", "samplers", "storage", "tasks"),
    "training",
    *("policy.py", "recipe.py", "recipe_methods.py"),
)
"""Where in the package the code lies that decides what a trial is; reports and commands do not."""


class DifferentFingerprint(ValueError):
    """This process would train otherwise than the study has been trained so far."""


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What decides a training beside its policy and its seed.

    Args:
        data: Digest of images, labels and splits.
        weights: Digest of the network and its pretrained weights.
        recipe: Field to value.
        packages: Name to version.
        code: Digest of the source that decides what a trial is.
        commit: That the source is of, where that is known; two are not compared.
    """

    data: str
    weights: str
    recipe: dict[str, Any]
    packages: dict[str, str]
    code: str
    commit: str = ""

    @classmethod
    def here(cls, *, data: str, weights: str, recipe: Recipe) -> Fingerprint:
        """That of a training in this process."""
        packages = {name: version_of(name) for name in PACKAGES}
        fields = recipe.as_dict()
        return cls(data, weights, fields, packages, _code(), commit=_commit())

    @property
    def digest(self) -> str:
        """Its name, 12 hexadecimal digits."""
        text = json.dumps(self._compared(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def as_attribute(self) -> dict[str, Any]:
        """Key and content, as stored with a study."""
        content = {VERSION_FIELD: _VERSION, **dataclasses.asdict(self)}
        return {FINGERPRINT_KEY + self.digest: content}

    def differences(self, other: Fingerprint) -> dict[str, tuple[Any, Any]]:
        """What differs, such as ``numpy`` or ``recipe.lr``: this one's and the other's."""
        ours, theirs = self._compared(), other._compared()
        return {
            name: (ours.get(name), theirs.get(name))
            for name in {**ours, **theirs}
            if ours.get(name) != theirs.get(name)
        }

    def _compared(self) -> dict[str, Any]:
        recipe = {f"recipe.{name}": value for name, value in self.recipe.items()}
        own = {"data": self.data, "weights": self.weights, "code": self.code}
        return {**own, **recipe, **self.packages}


def used_fingerprints(study: optuna.Study) -> dict[str, Fingerprint]:
    """Digest to fingerprint, as stored; what cannot be read is left out, with a warning."""
    found, refused = _stored(study)
    for error in refused:
        warnings.warn(str(error), stacklevel=2)
    return found


def unreadable_fingerprints(study: optuna.Study) -> dict[str, str]:
    """Attribute to the reason why it cannot be read."""
    return {error.key: error.reason for error in _stored(study)[1]}


def record(study: optuna.Study, fingerprint: Fingerprint) -> None:
    """Store it with the study, unless it is there."""
    for key, content in fingerprint.as_attribute().items():
        write_once(study, key, content)


def join(study: optuna.Study, fingerprint: Fingerprint, *, allow_different: bool = False) -> None:
    """Store it with the study, if it is one that the study has used, its first, or allowed.

    Raises:
        DifferentFingerprint: if the study has used others only; the message has what differs.
    """
    used = used_fingerprints(study)
    if used and fingerprint.digest not in used and not allow_different:
        found = [fingerprint.differences(other) for other in used.values()]
        listed = there_and_here(min(found, key=len), most=15)
        raise DifferentFingerprint(
            f"study {study.study_name!r} was trained with another setup: {listed}. Make them the "
            "same, or join all the same with --allow-different: each trial keeps what made it"
        )
    record(study, fingerprint)


def _stored(study: optuna.Study) -> tuple[dict[str, Fingerprint], list[UnreadableAttribute]]:
    """Those that can be read, by digest, and what is wrong with the others."""
    found, refused = {}, []
    for key, content in all_study_attrs(study).items():
        if not key.startswith(FINGERPRINT_KEY):
            continue
        name = study.study_name
        try:
            stored = read(Fingerprint, content, version=_VERSION, key=key, study=name)
            if key != FINGERPRINT_KEY + stored.digest:
                raise UnreadableAttribute("it was changed since", key=key, study=name)
        except UnreadableAttribute as error:
            refused.append(error)
        else:
            found[stored.digest] = stored
    return found, refused


@cache
def _code() -> str:
    """Digest of every module that decides what a trial is, by its place in the package."""
    digest = hashlib.sha256()
    for path in sorted(_ROOT.rglob("*.py")):
        place = path.relative_to(_ROOT)
        if place.parts[0] in _DECIDES:
            digest.update(f"{place.as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _commit() -> str:
    """Of the working copy that the package is imported from, or was installed from."""
    if (_ROOT.parent / ".git").exists():
        command = ["git", "-C", str(_ROOT), "rev-parse", "HEAD"]
        try:
            return subprocess.run(command, capture_output=True, text=True).stdout.strip()
        except OSError:  # without git
            return ""
    try:
        url = distribution("optuna-layerwise").read_text("direct_url.json")
    except PackageNotFoundError:
        return ""
    return str(json.loads(url or "{}").get("vcs_info", {}).get("commit_id", ""))
