"""Everything that decides a study, as plain data that is stored with it."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import BaseSampler
from pydantic import ConfigDict

from optuna_layerwise.baselines import BASELINES, Baseline
from optuna_layerwise.encodings import ENCODINGS, N_RECIPES, Encoding, Head
from optuna_layerwise.experiments.optuna_samplers import OPTUNA_SAMPLERS
from optuna_layerwise.io.plain import MANY, within
from optuna_layerwise.recipe import Granularity, Recipe
from optuna_layerwise.records.attributes import VERSION_FIELD, UnreadableAttribute, read
from optuna_layerwise.samplers import SAMPLERS, STARTS_INFORMED
from optuna_layerwise.samplers.pruning import PRUNERS
from optuna_layerwise.storage import SETTINGS_KEY as SETTINGS_KEY
from optuna_layerwise.storage import study_attr

if TYPE_CHECKING:  # torch is imported where it is needed: `status` answers without it
    from optuna_layerwise.data import Splits
    from optuna_layerwise.models import ModelSpec
    from optuna_layerwise.objective.finetune import FinetuneObjective

VERSION = 1
SAMPLER_NAMES = sorted([*SAMPLERS, *OPTUNA_SAMPLERS])
MAY_CHANGE = {
    *("trials", "reuse", "data", "data_root", "image_root", "weights", "output"),
    *("device", "threads", "compute", "keep_weights", "checkpoint_seconds", "live"),
}

_NOT_OF_SAMPLER = ("seed", "encoding", "init_from")
"""Arguments of samplers that are settings of their own."""
_SEEDS = 2**32 - 1
"""The largest seed that all samplers and libraries take."""
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("trials", "finalists"), (1, MANY)),
    **dict.fromkeys(("final_seeds", "n_folds"), (1, 1000)),
    **dict.fromkeys(("seed", "split_seed"), (0, _SEEDS)),
    **dict.fromkeys(("image_size", "resize"), (1, 10_000)),
    **dict.fromkeys(("val", "test"), (0, 1)),
    "train_fraction": (0, 1),
    **dict.fromkeys(("epochs", "patience", "batch_size"), (1, MANY)),  # of the recipe
    "keep_weights": (0, MANY),
    "checkpoint_seconds": (0, MANY),
    "threads": (1, 1024),
}
"""Field to the least and the largest value; what is in between may still be too much."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One study of the command line.

    A ``baseline`` is tuned in the place of a search over an ``encoding``; ``recipe`` has what it
    changes. ``data``, ``data_root``, ``image_root`` and ``weights`` are paths, which may move;
    ``data_fingerprint`` and ``model_digest`` are what must stay the same. Empty ones are not known
    yet.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # what is not known cannot be continued

    data: str = "digits"
    data_root: str | None = None
    image_root: tuple[str, ...] = ()
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    group_by: str | None = "auto"
    group_rule: int = 1  # of studies that were stored without it; `tune` has the present one
    val: float = 0.2
    test: float = 0.2
    split_seed: int = 0
    train_fraction: float = 1.0
    paper_split: bool = False
    skip_bad_images: bool = False
    resize: int | None = None
    model: str = "digits_cnn"
    model_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: str | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    image_size: int = 224
    granularity: Granularity = "stage"
    encoding: str = "biotune"
    baseline: str | None = None
    head: Head = "always"
    sampler: str = "biotune"
    sampler_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    seeds: tuple[int, ...] = (0,)
    n_folds: int = 1
    tie_break: bool = True
    reuse: bool = True
    prune: bool = False
    pruner: str = "generation"
    seed_recipes: bool = False
    init_from: str | None = None
    trials: int = 140
    finalists: int | None = None
    final_seeds: int = 3
    race: bool = True
    retrain: bool = True
    output: str = ""
    keep_weights: int = 0
    checkpoint_seconds: float = 10.0
    device: str = "auto"
    compute: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    threads: int | None = None
    live: bool = True
    data_fingerprint: str = ""
    model_digest: str = ""

    def __post_init__(self) -> None:
        known("encoding", self.encoding, ENCODINGS)
        known("sampler", self.sampler, SAMPLER_NAMES)
        known("pruner", self.pruner, PRUNERS)
        for name in _NOT_OF_SAMPLER:
            if name in self.sampler_options:
                option, value = f"--{name.replace('_', '-')}", self.sampler_options[name]
                raise ValueError(
                    f"say {option} {value} instead of --sampler-option {name}={value}"
                )
        if self.baseline is not None:
            known("baseline", self.baseline, BASELINES)
        if self.compute:
            from optuna_layerwise.training import Compute

            Compute.from_json(self.compute)
        for field, (least, most) in _RANGES.items():
            value = getattr(self if hasattr(self, field) else self.recipe, field)
            if value is not None:
                within(field, value, least, most)
        within("number of seeds", len(self.seeds), 1, 1000)
        for seed in self.seeds:
            within("seeds", seed, 0, _SEEDS)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", self.device):
            raise ValueError(
                f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got {self.device!r}"
            )
        if self.init_from is not None and self.sampler not in STARTS_INFORMED:
            raise ValueError(
                f"--init-from is for --sampler {', '.join(STARTS_INFORMED)}, got {self.sampler}"
            )
        if not self.retrain and self.n_folds > 1:
            raise ValueError(
                f"--no-retrain takes a training on all images to the test, but with --folds "
                f"{self.n_folds} there is none; choose --folds 1 or --retrain"
            )

    def spec(self) -> ModelSpec:
        """The network.

        Raises:
            ValueError: if it is unknown, or has no such weights.
        """
        from optuna_layerwise.models import ModelSpec

        spec = ModelSpec(
            name=self.model,
            args=self.model_args,
            weights=weights_of(self.weights),
            mean=self.mean,
            std=self.std,
            image_size=self.image_size,
            granularity=self.granularity,
        )
        spec.check_arguments()  # the data take longer
        return spec

    def load(self, *, download: bool = False) -> Splits:
        """The data."""
        from optuna_layerwise.data import load_data

        return load_data(
            self.data,
            root=self.data_root,
            download=download,
            columns=self.columns or None,
            image_root=self.image_root,
            group_by=self.group_by,
            group_rule=self.group_rule,
            image_size=self.image_size,
            resize=self.resize,
            val=self.val,
            test=self.test,
            split_seed=self.split_seed,
            train_fraction=self.train_fraction,
            paper_split=self.paper_split,
            skip_bad_images=self.skip_bad_images,
        )

    def objective(self, spec: ModelSpec, data: Splits) -> FinetuneObjective:
        """What a trial does."""
        from optuna_layerwise.objective.finetune import FinetuneObjective
        from optuna_layerwise.training import Compute

        return FinetuneObjective(
            model=spec,
            data=data,
            encoding=self.encoding,
            baseline=self.method,
            head=self.head,
            recipe=self.recipe,
            seeds=self.seeds,
            n_folds=self.n_folds,
            tie_break=self.tie_break,
            reuse=self.reuse,
            device=self.device,
            compute=Compute.from_json(self.compute),
            checkpoints=Path(self.output) / "trials" if self.output else None,
            checkpoint_seconds=self.checkpoint_seconds,
            keep_weights=self.keep_weights,
        )

    @property
    def method(self) -> Baseline | None:
        """The baseline that is tuned; the recipe has what it changes already."""
        if self.baseline is None:
            return None
        return dataclasses.replace(BASELINES[self.baseline], recipe={})

    def encoding_for(self, blocks: Sequence[str]) -> Encoding:
        """What is searched."""
        if self.method is not None:
            return self.method.encoding(blocks, lr=self.recipe.lr)
        return Encoding.preset(self.encoding, blocks, head=self.head, lr=self.recipe.lr)

    def recipes(self, encoding: Encoding) -> list[dict[str, Any]]:
        """Parameters of the first trials: a baseline as published, or known recipes."""
        if not self.seed_recipes:
            return []
        return encoding.recipes()[:N_RECIPES] if self.baseline is None else [encoding.first]

    def first(self, encoding: Encoding) -> list[dict[str, Any]]:
        """Of these the ones to enqueue: samplers that start informed ask for theirs."""
        return [] if self.sampler in STARTS_INFORMED else self.recipes(encoding)[: self.trials]

    def make_sampler(
        self,
        encoding: Encoding | None,
        *,
        joins: bool,
        init_from: optuna.Study | None = None,
    ) -> BaseSampler:
        """The sampler.

        Args:
            encoding: Of the study.
            joins: One of Optuna's would repeat itself in a process that joins a study.
            init_from: The study of the setting of that name; only a new study needs it.

        Raises:
            ValueError: for an option that the sampler does not have, or a value out of range.
        """
        try:
            if self.sampler in OPTUNA_SAMPLERS:
                seed = secrets.randbits(32) if joins else self.seed
                return OPTUNA_SAMPLERS[self.sampler](encoding, seed=seed, **self.sampler_options)
            start: dict[str, Any] = {}
            if self.sampler in STARTS_INFORMED and encoding:
                start = {"seed_with": self.recipes(encoding), "init_from": init_from}
            return SAMPLERS[self.sampler](
                seed=self.seed, encoding=encoding, **{**start, **self.sampler_options}
            )
        except TypeError as error:
            raise ValueError(
                f"sampler {self.sampler} does not take {dict(self.sampler_options)}: {error}"
            ) from error

    def make_pruner(self) -> optuna.pruners.BasePruner:
        """The pruner."""
        if self.prune:
            return PRUNERS[self.pruner](self.recipe.epochs)
        return optuna.pruners.NopPruner()

    def differences(self, other: Settings) -> dict[str, tuple[Any, Any]]:
        """The fields that may not change in a study and yet differ: ours and the other's."""
        ours, theirs = json.loads(self.to_json()), json.loads(other.to_json())
        ours |= {f"recipe.{k}": v for k, v in ours.pop("recipe").items()}
        theirs |= {f"recipe.{k}": v for k, v in theirs.pop("recipe").items()}
        return {
            field: (value, theirs[field])
            for field, value in ours.items()
            if field not in MAY_CHANGE and value != theirs[field]
        }

    def to_json(self) -> str:
        """One JSON object, with the version of this format."""
        return json.dumps({"version": VERSION, **dataclasses.asdict(self)})

    @classmethod
    def from_study(cls, study: optuna.Study) -> Settings:
        """The settings that a study was created with.

        Raises:
            ValueError: if there are none, or another version wrote them.
        """
        text = study_attr(study, SETTINGS_KEY)
        if text is None:
            raise ValueError(
                f"study {study.study_name!r} was not created by `optuna-layerwise tune`; choose "
                "another --study, or use the Python API to continue it"
            )
        try:
            content = json.loads(text)
            content[VERSION_FIELD] = content.pop("version")
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
            reason = f"expected an object with a version, in JSON ({error})"
            raise UnreadableAttribute(reason, key=SETTINGS_KEY, study=study.study_name) from error
        return read(cls, content, version=VERSION, key=SETTINGS_KEY, study=study.study_name)


def weights_of(text: str | None) -> str | None:
    """The `ModelSpec.weights` that ``--weights`` stands for: published ones if it is not given."""
    return None if text == "none" else text or "DEFAULT"


def known(kind: str, name: str, names: Any) -> None:
    """Refuse a name that is not one of those that there are.

    Raises:
        ValueError: it has all of them, and the nearest.
    """
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"{kind} must be one of {', '.join(sorted(names))}, got {name!r}; "
            f"did you mean {near!r}?"
        )
