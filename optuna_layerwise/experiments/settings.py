"""Everything that decides a study, as plain data that is stored with it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import BaseSampler
from pydantic import ConfigDict

from optuna_layerwise.baselines import BASELINES, Baseline
from optuna_layerwise.cost import Budget
from optuna_layerwise.data.names import DATA_NAMES, GROUP_RULE, MAX_TOKENS
from optuna_layerwise.encodings import ENCODINGS, N_RECIPES, TUNABLE, Encoding, Head
from optuna_layerwise.io.fields import panel, settings_of
from optuna_layerwise.io.plain import MANY, within
from optuna_layerwise.recipe import COSTS, METRICS, Granularity, Recipe, TaskName
from optuna_layerwise.records.attributes import VERSION_FIELD, UnreadableAttribute, read
from optuna_layerwise.records.final import PUBLISHED_ENDING, Deliver, Ending
from optuna_layerwise.samplers import SAMPLERS, STARTS_INFORMED
from optuna_layerwise.samplers.optuna_samplers import OPTUNA_SAMPLERS
from optuna_layerwise.samplers.pruning import PRUNERS
from optuna_layerwise.storage import SETTINGS_KEY as SETTINGS_KEY
from optuna_layerwise.storage import study_attr

if TYPE_CHECKING:  # torch is imported where it is needed: `status` answers without it
    from optuna_layerwise.data import Splits
    from optuna_layerwise.models import ModelSpec
    from optuna_layerwise.objective.finetune import FinetuneObjective

VERSION = 1
SAMPLER_NAMES = ChainMap(SAMPLERS, OPTUNA_SAMPLERS)

_NOT_OF_SAMPLER = ("seed", "encoding", "init_from")
"""Arguments of samplers that are settings of their own."""
_OF_DATA = (
    *("task", "image_root", "group_by", "group_rule", "image_size", "resize", "val", "test"),
    *("split_seed", "train_fraction", "paper_split", "skip_bad_images"),
)
_OF_TEXTS = (
    *("columns", "task", "group_by", "group_rule", "val", "test", "split_seed"),
    "train_fraction",
)
_OF_IMAGES = ("image_root", "paper_split", "skip_bad_images", "data_root")
_OF_NETWORK = ("mean", "std", "image_size", "granularity")
_OF_OBJECTIVE = (
    *("encoding", "head", "tune", "recipe", "seeds", "n_folds", "tie_break", "reuse", "device"),
    *("checkpoint_seconds", "keep_weights"),
)
"""Fields that are arguments of the same name of `load_data`, `load_texts`, network and objective,
and those that say nothing of texts."""
_SEED = (0, 2**32 - 1)
"""The seeds that all samplers and libraries take."""
_study, _data, _network = panel("Study"), panel("Data"), panel("Network")
_search, _result, _machine = panel("Search"), panel("Result"), panel("Machine", may_change=True)


def absolute(place: str, folder: Path = Path()) -> str:
    """An absolute path, if it is one that exists or looks like one; names stay."""
    if not place.strip() or "://" in place:
        return place
    path = folder / place
    return str(path.absolute()) if path.exists() or path.suffix or os.sep in place else place


def absolute_data(place: str, folder: Path = Path()) -> str:
    """An absolute path, unless it is the name of a data set, or an address."""
    if place in DATA_NAMES or not place.strip() or "://" in place:
        return place
    return str((folder / place).absolute())


def absolute_folder(place: str, folder: Path = Path()) -> str:
    """An absolute path of a folder, also of one that is not there."""
    return os.path.abspath(folder / os.path.expanduser(place))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One study of the command line.

    The fields with a help text, here and in the recipe, are the options of ``tune``. A
    ``baseline`` is tuned in the place of a search over an ``encoding``; ``recipe`` has what it
    changes. Paths may move; ``data_fingerprint`` and ``model_digest`` are what must stay the
    same, and are empty as long as they are not known.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # what is not known cannot be continued

    data: str = _data(
        "digits",
        f"Images to learn from: a folder, a .csv or .npz file, or one of {', '.join(DATA_NAMES)}. "
        "Or, for a network of texts, a .csv with the columns text and label.",
        place=absolute_data,
    )
    data_root: str | None = _data(
        None, "Folder that holds the data sets that go by name.", place=absolute_folder
    )
    image_root: tuple[str, ...] = _data(
        (),
        "Folder of the images that a .csv names, if they do not lie beside it; repeatable.",
        place=absolute_folder,
    )
    columns: Mapping[str, str] = _data(
        {},
        "Column of a .csv that holds the image (or text), label or split, as in label=dx; "
        "repeatable. pair=COLUMN makes each row a pair of texts.",
        option="--column",
    )
    task: TaskName = _data(
        "classification",
        "What the labels of a .csv are: a class; several labels (names with ; between, or several "
        "columns of 0 and 1); or numbers. Several columns are named as in --column label=a,b.",
    )
    group_by: str | None = _data(
        "auto",
        "Column of groups that no split may divide; auto looks for one, none ignores groups.",
        none="none",
    )
    group_rule: int = _data(
        1,  # of studies that were stored without it
        "How --group-by auto finds groups: 2 takes columns that look like groups; 1 takes a "
        "column named group only, as version 0.1.0 did.",
        default=str(GROUP_RULE),
        within=(1, GROUP_RULE),
    )
    val: float = _data(0.2, "Share of the images to validate on.", within=(0, 1))
    test: float = _data(0.2, "Share of the images to test on.", within=(0, 1))
    split_seed: int = _data(0, "Seed that draws the splits.", within=_SEED)
    train_fraction: float = _data(1.0, "Share of the training split to train on.", within=(0, 1))
    paper_split: bool = _data(
        False,
        "Split n images as REVO-Tune does: floor(train-fraction n) to train, floor(val n) to "
        "validate, the rest to test.",
    )
    skip_bad_images: bool = _data(False, "Leave out images that cannot be read.")
    max_tokens: int = _data(
        MAX_TOKENS, "Number of tokens to which longer texts are cut.", within=(2, 100_000)
    )
    model: str = _network(
        "digits_cnn",
        "The network: a name of torchvision, timm/NAME, transformers/NAME or digits_cnn.",
        default="digits_cnn for the digits",
    )
    model_args: Mapping[str, Any] = _network(
        {}, "Argument of the network as name=value; repeatable.", option="--model-arg"
    )
    weights: str | None = _network(
        None,
        "Pretrained weights: a file, the name of published ones, or none for random ones.",
        default="the published ones, which are downloaded once",
        place=absolute,
    )
    mean: tuple[float, float, float] = _network(
        (0.485, 0.456, 0.406),
        "Channel mean for pixels in [0, 1]: one value, or three separated by commas.",
        default="as published with the weights",
    )
    std: tuple[float, float, float] = _network(
        (0.229, 0.224, 0.225),
        "Channel standard deviation for pixels in [0, 1]: one value, or three.",
        default="as published with the weights",
    )
    image_size: int = _network(
        224,
        "Side in pixels of the images that the network sees.",
        default="as published with the weights",
        within=(1, 10_000),
    )
    resize: int | None = _network(
        None,
        "Short side in pixels before images are cropped.",
        default="as published with the weights, else 232/224 of --image-size",
        within=(1, 10_000),
    )
    granularity: Granularity = _network("stage", "Unit of the network that is one block.")
    encoding: str = _search(
        "biotune",
        "What a trial's parameters say of the blocks: which are trained, and how fast.",
        default="what suits the sampler",
        choices=ENCODINGS,
    )
    baseline: str | None = _search(
        None,
        "Published method to tune instead of searching over blocks; the first trial is the "
        "method as published.",
        choices=BASELINES,
    )
    head: Head = _search(
        "always", "Whether the head is trained in every trial, or searched like the other blocks."
    )
    tune: tuple[str, ...] = _search(
        (),
        "Fields of the recipe that are searched beside the layers, separated by commas; "
        "repeatable. The search begins at the values that their own options give.",
        choices=TUNABLE,
    )
    objectives: tuple[str, ...] = _search(
        (),
        "What to keep small beside the metric, separated by commas: operations, those of a "
        "training, or trained_share, the share of the parameters that is trained. The report has "
        "the front.",
        option="--weigh",
        choices=COSTS,
    )
    sampler: str = _search(
        "biotune",
        "Algorithm that suggests the parameters of trials.",
        default="catcmawm; biotune with --preset biotune; tpe with --baseline",
        choices=SAMPLER_NAMES,
    )
    sampler_options: Mapping[str, Any] = _search(
        {},
        "Option of the sampler as name=value, such as reproduction=batched; repeatable.",
        option="--sampler-option",
    )
    seed: int = _study(0, "Seed of the search.", within=_SEED)
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    seeds: tuple[int, ...] = _search(
        (0,),
        "Number of trainings of a trial, each with a seed of its own.",
        option="--seeds-per-trial",
    )
    n_folds: int = _search(
        1,
        "Number of folds: each generation trains and validates on the next; 1 uses all images.",
        option="--folds",
        within=(1, 1000),
    )
    tie_break: bool = True
    reuse: bool = _search(
        True, "Take over the result of an equal trial instead of training again.", may_change=True
    )
    prune: bool = _search(
        False, "Stop trials early that are worse than others of their generation."
    )
    pruner: str = _search(
        "generation",
        "Rule that stops trials early: by generation, or by successive halving. Implies --prune.",
        default="generation",
        choices=PRUNERS,
    )
    seed_recipes: bool = _study(False, "Begin with known recipes, such as full fine-tuning.")
    init_from: str | None = _study(
        None, "Another study of this database, whose best trials the search begins from."
    )
    trials: int = _search(
        140, "Number of finished trials to reach.", within=(1, MANY), may_change=True
    )
    budget: str | None = _search(
        None,
        "What the trainings of the search and of its end may cost together: a time such as 30m "
        "or 2h, all workers added, or 1e13flops, or 60trainings. The number of trials is then "
        "what it has room for, and --trials, if given, an upper bound.",
        may_change=True,
    )
    finalists: int | None = _result(
        None,
        "Number of best policies that are trained again.",
        default="1 for 10 trials, at most 5; 5 with --preset biotune; 1 with --preset revo",
        within=(1, MANY),
    )
    final_seeds: int = _result(3, "Number of trainings of each finalist.", within=(1, 1000))
    race: bool = _result(True, "Stop training finalists that are clearly behind.")
    retrain: bool = _result(
        True,
        "Train finalists again with new seeds; if not, test the search's own training, as it is.",
    )
    # Studies that were stored without these four end as they used to: see `PUBLISHED_ENDING`.
    final_folds: int | None = _result(
        1,
        "Number of folds in which the finalists hold out each labelled image once; 1 validates "
        "on the validation split; auto is 5 below 1,000 images.",
        none="auto",
        within=(1, 100),
    )
    compete: bool = _result(
        False, "Let baselines compete with the finalists: whichever validates best is chosen."
    )
    final_epochs: int | None = _result(
        None,
        "Most epochs of the trainings after the search.",
        default="as in the search",
        within=(1, MANY),
    )
    refit: bool = _result(
        False, "Train what is handed over once more on all images but those of the test split."
    )
    deliver: Deliver = _result(
        "one", "What is handed over: one network, a team of several, or what validates better."
    )
    output: str = _study(
        "",
        "Folder for the best weights and for unfinished trials.",
        default="optuna-layerwise-runs/STUDY",
        place=absolute_folder,
        repeats=False,
    )
    keep_weights: int = _result(
        0,
        "Number of the search's best trials whose weights are kept.",
        within=(0, MANY),
        may_change=True,
    )
    checkpoint_seconds: float = _machine(
        10.0,
        "Seconds after which a trial saves a checkpoint again, at the end of an epoch.",
        within=(0, MANY),
    )
    device: str = _machine("auto", "Device to train on: auto, cpu, cuda, cuda:1 or mps.")
    compute: Mapping[str, Any] = _machine(
        {},
        "How the device computes, as name=value: precision=bf16, channels_last=true, "
        "compile=true, micro_batch=8, deterministic=true, prefix_memory=BYTES, "
        "prefix_disk=BYTES; repeatable.",
    )
    threads: int | None = _machine(
        None, "Number of threads that torch uses.", default="torch's own choice", within=(1, 1024)
    )
    live: bool = _study(
        True,
        "Keep figures and notes of the study up to date in optuna-dashboard.",
        may_change=True,
    )
    data_fingerprint: str = ""
    model_digest: str = ""

    def __post_init__(self) -> None:
        for name, each in SETTINGS.items():
            if name != "encoding" or self.baseline is None:
                each.check(each.of(self))
        if self.recipe.metric not in (known := METRICS[self.task]):
            if self.recipe.metric != Recipe.metric:
                raise ValueError(
                    f"--metric must be one of {[*known]} for --task {self.task}, got "
                    f"{self.recipe.metric!r}"
                )
            recipe = dataclasses.replace(self.recipe, metric=known[0])
            object.__setattr__(self, "recipe", recipe)
        if self.objectives and self.prune:
            raise ValueError("--prune is for one objective; leave --weigh or --prune out")
        for name in _NOT_OF_SAMPLER:
            if name in self.sampler_options:
                option, value = SETTINGS[name].option, self.sampler_options[name]
                raise ValueError(
                    f"say {option} {value} instead of --sampler-option {name}={value}"
                )
        if self.compute:
            from optuna_layerwise.training import Compute

            Compute.from_json(self.compute)
        if self.budget is not None:
            Budget.parsed(self.budget)
        within("number of seeds", len(self.seeds), 1, 1000)
        for seed in self.seeds:
            within("seeds", seed, *_SEED)
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
            **{name: getattr(self, name) for name in _OF_NETWORK},
        )
        spec.check_arguments()  # the data take longer
        return spec

    def load(self, *, download: bool = False) -> Splits:
        """The data.

        Raises:
            ValueError: if they are not as expected, or are texts, and an option is for images.
        """
        from optuna_layerwise.data import Tokenizing, load_data, load_texts

        spec = self.spec()
        if spec.takes_texts:
            for name in _OF_IMAGES:
                if getattr(self, name) != getattr(Settings, name):
                    raise ValueError(
                        f"{SETTINGS[name].option} is for images, and {self.model} takes texts; "
                        "leave it out"
                    )
            tokenizer, most = spec.tokenizer
            return load_texts(
                self.data,
                Tokenizing(tokenizer, min(most, self.max_tokens)),
                **{name: getattr(self, name) for name in _OF_TEXTS},
            )
        return load_data(
            self.data,
            root=self.data_root,
            download=download,
            columns=self.columns or None,
            **{name: getattr(self, name) for name in _OF_DATA},
        )

    def objective(self, spec: ModelSpec, data: Splits) -> FinetuneObjective:
        """What a trial does."""
        from optuna_layerwise.objective.finetune import FinetuneObjective
        from optuna_layerwise.training import Compute

        return FinetuneObjective(
            model=spec,
            data=data,
            baseline=self.method,
            objectives=(self.recipe.metric, *self.objectives) if self.objectives else (),
            compute=Compute.from_json(self.compute),
            checkpoints=Path(self.output) / "trials" if self.output else None,
            **{name: getattr(self, name) for name in _OF_OBJECTIVE},
        )

    @property
    def ending(self) -> Ending:
        """How the search ends."""
        if not self.retrain:
            return PUBLISHED_ENDING
        return Ending(
            folds=self.final_folds,
            refit=self.refit,
            deliver=self.deliver,
            compete=self.compete,
            epochs=self.final_epochs,
        )

    def seeds_of_finalists(self, objective: FinetuneObjective) -> Sequence[int]:
        """Those of their trainings."""
        return objective.unused_seeds(self.final_seeds) if self.retrain else objective.seeds

    @property
    def target(self) -> int | None:
        """Finished trials to reach; ``None`` if a budget alone decides."""
        return None if self.budget is not None and self.trials == MANY else self.trials

    @property
    def method(self) -> Baseline | None:
        """The baseline that is tuned; the recipe has what it changes already."""
        if self.baseline is None:
            return None
        return dataclasses.replace(BASELINES[self.baseline], recipe={})

    def encoding_for(self, blocks: Sequence[str]) -> Encoding:
        """What is searched."""
        if self.method is not None:
            encoding = self.method.encoding(blocks, lr=self.recipe.lr)
        else:
            encoding = Encoding.preset(self.encoding, blocks, head=self.head, lr=self.recipe.lr)
        return encoding.tuning(self.tune, self.recipe) if self.tune else encoding

    def recipes(self, encoding: Encoding) -> list[dict[str, Any]]:
        """Parameters of the first trials: a baseline as published, or known recipes."""
        if not self.seed_recipes:
            return []
        return encoding.recipes()[:N_RECIPES] if self.baseline is None else [encoding.first]

    def first(self, encoding: Encoding) -> list[dict[str, Any]]:
        """Those of the first trials to enqueue; samplers that start informed ask for theirs."""
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
            encoding: The encoding of the study.
            joins: Whether this process joins a study, where Optuna's samplers would draw again
                what the first process drew.
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


SETTINGS = settings_of(Settings)
"""Name to what each field of `Settings`, and of its recipe, says of itself."""
MAY_CHANGE = {name for name, each in SETTINGS.items() if each.may_change}
