"""A search as an estimator of scikit-learn: images and labels in, a classifier out.

https://scikit-learn.org/stable/developers/develop.html
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from numpy.typing import ArrayLike, NDArray
from optuna.exceptions import ExperimentalWarning
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from optuna_layerwise.data.decode import Decoding, Item
from optuna_layerwise.data.examples import SealedImages, Splits
from optuna_layerwise.data.given import is_eight_bit, items_of, names_of
from optuna_layerwise.data.grouped_splits import grouped_split
from optuna_layerwise.data.images import Images
from optuna_layerwise.data.notices import kept_notices
from optuna_layerwise.data.raw import Part, content_digests, fingerprint
from optuna_layerwise.data.splits import stratified_split
from optuna_layerwise.data.store import decode_in_memory
from optuna_layerwise.data.value_range import value_range
from optuna_layerwise.experiments.presets import filled_in
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.io.plain import within
from optuna_layerwise.recipe import Metric, Recipe
from optuna_layerwise.records.final import Deliver
from optuna_layerwise.records.fingerprint import join
from optuna_layerwise.storage import enqueue_once
from optuna_layerwise.studies import is_paused, open_study, work
from optuna_layerwise.studies.pausing import TrialPaused

if TYPE_CHECKING:
    import torch

    from optuna_layerwise.models import ModelSpec
    from optuna_layerwise.objective.finetune import FinetuneObjective
    from optuna_layerwise.policy import Policy


class LayerwiseClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Searches which blocks of a pretrained network to fine-tune, and how fast, then does it.

    `fit` sets a share of the images aside to validate on and searches. The best policies then
    compete, in folds where there are few images, with the usual ways to fine-tune. What validates
    best is trained once more on all images of ``X``: one network, or a team. No image is kept for
    a test; `sklearn.model_selection.cross_val_score` says what the whole procedure is worth.

    ``X`` is a list or an array of paths of image files; or an array of pixels [n, H, W] or
    [n, H, W, 3]; or a list of such arrays, of any sizes. 8-bit images are taken as they are. Of
    others the lowest value that `fit` has seen becomes 0 and the highest 255. Each image is
    brought to the size of the network, so those of `predict` may have another one.

    Args:
        model: The network, or its name; see `ModelSpec`.
        weights: Its pretrained weights, if it is given by name; see `ModelSpec`.
        image_size: Side in pixels that it sees, if it is given by name; ``None``: what the
            weights expect.
        n_trials: Trials of the search, at least 1; the first ones are known recipes, such as full
            fine-tuning.
        sampler: Name of the algorithm that searches, such as ``catcmawm``, ``biotune`` or ``tpe``.
        encoding: What is searched, a name of `ENCODINGS`; ``None``: what suits the sampler.
        recipe: How policies are trained; ``None``: as ``tune`` does.
        metric: The metric to optimize; ``None``: the one of the recipe.
        validation: Share of the images that the search validates on.
        compete: Whether full fine-tuning, LP-FT, the middle blocks from a fitted head and a
            logistic regression of the frozen features compete with the policies that were found.
        final_folds: In how many folds they do; 1 is the share above; ``None``: five below 1,000
            images, else 1.
        deliver: ``one`` network, a ``team``, or ``auto``, whichever validates better.
        random_state: Decides the split, the search and the trainings: an integer gives the same
            result each time.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        storage: URL of a database that keeps the search, so that a `fit` that was interrupted
            goes on; it needs a ``random_state`` that is an integer. ``None``: memory.
        study_name: The name of the study in the storage.
        verbose: 1 prints each trial.

    Attributes:
        classes_: The labels, sorted.
        network_: The trained network or `Team`, a torch module on the device.
        policy_: The policy that was chosen: block to multiplier, 0 is frozen.
        held_out_: Metrics of the choice on held-out images, before the last training. They were
            chosen by, and so are a little too good.
        study_: The study of Optuna.

    Examples:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> X = X.reshape(-1, 8, 8)[::9]
        >>> search = LayerwiseClassifier("digits_cnn", n_trials=2, compete=False, random_state=0)
        >>> search.fit(X, y[::9]).predict(X[:2]).shape
        (2,)
    """

    def __init__(
        self,
        model: str | ModelSpec = "resnet18",
        *,
        weights: str | os.PathLike[str] | None = "DEFAULT",
        image_size: int | None = None,
        n_trials: int = 30,
        sampler: str = "catcmawm",
        encoding: str | None = None,
        recipe: Recipe | None = None,
        metric: Metric | None = None,
        validation: float = 0.2,
        compete: bool = True,
        final_folds: int | None = None,
        deliver: Deliver = "auto",
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        storage: str | None = None,
        study_name: str = "LayerwiseClassifier",
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.weights = weights
        self.image_size = image_size
        self.n_trials = n_trials
        self.sampler = sampler
        self.encoding = encoding
        self.recipe = recipe
        self.metric = metric
        self.validation = validation
        self.compete = compete
        self.final_folds = final_folds
        self.deliver = deliver
        self.random_state = random_state
        self.device = device
        self.storage = storage
        self.study_name = study_name
        self.verbose = verbose

    def fit(
        self, X: Any, y: ArrayLike, groups: Sequence[object] | None = None
    ) -> LayerwiseClassifier:
        """Search, choose, and train the choice on all images.

        Args:
            X: The images; see the class.
            y: Their labels: texts, integers or whatever scikit-learn takes.
            groups: For each image what it belongs to, such as a patient; images of a group stay
                on one side of each split.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once the running trial is stored, if it can be.
            ValueError: if an image cannot be read, there is one class only, lengths differ, or a
                parameter is out of its range.
        """
        items = items_of(X)
        labels = self._encoded(items, y)
        if groups is not None:
            check_consistent_length(items, groups)
        if isinstance(self.random_state, int | np.integer):
            seed = int(self.random_state)
        elif self.storage is None:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        else:
            raise ValueError(
                "a search in a storage goes on only with the same random_state: expected an "
                f"integer, got {self.random_state!r}"
            )
        settings, spec = self._settings(seed), self._spec()
        with _quietly(self.verbose):
            data = self._splits(items, labels, groups, seed, spec)
            objective = settings.objective(spec, data)
            self.study_ = self._searched(settings, objective)
            from optuna_layerwise.objective.finalists import hand_over

            found = hand_over(
                objective.trainer,
                self.study_,
                seeds=objective.unused_seeds(settings.final_seeds),
                ending=settings.ending,
                encoding=objective.encoding,
            )
        self.network_: torch.nn.Module = found.network
        self.policy_: Policy = found.policy
        self.held_out_ = found.held_out
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities [n, classes] in the order of ``classes_``.

        Raises:
            NotFittedError: before `fit`.
            ValueError: if an image cannot be read.
        """
        check_is_fitted(self, "network_")
        from optuna_layerwise.training import Compute
        from optuna_layerwise.training.engine import Engine

        items = items_of(X)
        self._check_depth(items)
        part = Part(items, np.zeros(len(items), np.int64), names_of(items))
        images = Images(self._pixels(part), part.labels, self._class_names, part.names)
        engine = Engine(
            mean=self._network.mean,
            std=self._network.std,
            device=self.device,
            compute=Compute(prefix_memory=0, prefix_disk=0),
        )
        logits = engine.outputs(self.network_, images)
        probabilities: NDArray[np.float64] = logits.cpu().double().softmax(dim=1).numpy()
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each image [n].

        Raises:
            NotFittedError: before `fit`.
            ValueError: if an image cannot be read.
        """
        most_probable = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[most_probable]
        return labels

    def _encoded(self, items: Sequence[Item], y: ArrayLike) -> NDArray[np.int64]:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None: expected a label")
        check_consistent_length(items, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must have at least 2 classes, got 1 class only: {self.classes_.tolist()}"
            )
        self._class_names = tuple(map(str, self.classes_))
        return labels.reshape(-1).astype(np.int64)

    def _settings(self, seed: int) -> Settings:
        """The settings that ``tune`` would use; the parameters are checked here."""
        within("n_trials", self.n_trials, 1)
        given: dict[str, Any] = {
            "data": "",
            "sampler": self.sampler,
            "seed": seed,
            "trials": self.n_trials,
            "seed_recipes": True,  # what is done today is among few trials, too
            "device": self.device,
            "compete": self.compete,
            "final_folds": self.final_folds,
            "deliver": self.deliver,
        }
        if self.encoding is not None:
            given["encoding"] = self.encoding
        chosen = filled_in(given)
        recipe = chosen["recipe"] if self.recipe is None else self.recipe
        if self.metric is not None:
            recipe = recipe.changed({"metric": self.metric})
        return Settings(**{**chosen, "recipe": recipe, "seeds": (seed,)})

    def _spec(self) -> ModelSpec:
        from optuna_layerwise.models import ModelSpec

        if isinstance(self.model, ModelSpec):
            if self.weights != "DEFAULT" or self.image_size is not None:
                raise ValueError(
                    "weights and image_size are for a model that is given by name; a ModelSpec "
                    f"has its own, got {self.weights!r} and {self.image_size!r} beside it"
                )
            return self.model
        size: dict[str, Any] = {} if self.image_size is None else {"image_size": self.image_size}
        return ModelSpec(name=self.model, weights=self.weights, **size)

    def _splits(
        self,
        items: Sequence[Item],
        labels: NDArray[np.int64],
        groups: Sequence[object] | None,
        seed: int,
        spec: ModelSpec,
    ) -> Splits:
        """Images to train and to validate on; none to test."""
        if not 0 < self.validation < 1:
            raise ValueError(f"validation must be a share in (0, 1), got {self.validation!r}")
        named = None if groups is None else tuple(map(str, groups))
        pool = Part(items, labels, names_of(items), named)
        self._network, self._eight_bit = spec, is_eight_bit(items)
        with kept_notices() as said, warnings.catch_warnings():
            if self._eight_bit is not None:  # arrays of floats are as usual as those of bytes
                warnings.simplefilter("ignore")
            scale = value_range([pool])
        self._decoding = Decoding(spec.image_size, spec.resize, scale)
        shares = (1 - self.validation, self.validation)
        if named is None:
            chosen = stratified_split(labels, shares, seed=seed)
        else:
            chosen = grouped_split(labels, named, shares, seed=seed)
        parts = dict(zip(("train", "val"), map(pool.take, chosen), strict=True))
        names = self._class_names
        whole = Images(self._pixels(pool), labels, names, pool.names, named)
        train, val = (whole.subset(rows) for rows in chosen)
        parameters = {"image_size": spec.image_size, "resize": spec.resize or 0}
        key = fingerprint(names, parts, content_digests(parts), parameters)
        nothing = SealedImages(whole.subset([]))
        return Splits(
            *(train, val, nothing, key, "X", names), notices=tuple(said), decoding=self._decoding
        )

    def _pixels(self, part: Part) -> NDArray[np.uint8]:
        [(pixels, bad)] = decode_in_memory({"X": part}, self._decoding).values()
        if bad:
            first = "; ".join(f"{part.names[i]} ({reason})" for i, reason in [*bad.items()][:3])
            raise ValueError(f"{len(bad)} of {len(part)} images in X cannot be read: {first}")
        return pixels

    def _check_depth(self, items: Sequence[Item]) -> None:
        if (here := is_eight_bit(items)) is None or self._eight_bit is None:
            return
        if here != self._eight_bit:
            words = {True: "uint8", False: "another type than uint8"}
            raise ValueError(
                f"X must have pixels of {words[self._eight_bit]} as in fit, got {words[here]}: "
                "their scale would differ"
            )

    def _searched(self, settings: Settings, objective: FinetuneObjective) -> optuna.Study:
        study = open_study(
            optuna.storages.InMemoryStorage() if self.storage is None else self.storage,
            study_name=self.study_name,
            sampler=settings.make_sampler(objective.encoding, joins=False),
            direction="maximize" if objective.direction.name == "MAXIMIZE" else "minimize",
        )
        join(study, objective.fingerprint)
        enqueue_once(study, settings.first(objective.encoding))
        try:
            done = work(study, objective, n_finished=self.n_trials)
        except TrialPaused as error:
            raise KeyboardInterrupt from error
        if not done and is_paused(study):
            raise RuntimeError(
                f"study {study.study_name!r} is paused; `optuna-layerwise resume`, or "
                "optuna_layerwise.studies.resume, lets it go on"
            )
        if not done:
            raise KeyboardInterrupt
        return study

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        if "study_" in state:  # without what works on it: samplers, connections, passwords
            state["study_"] = _copied(state["study_"])
        if "network_" in state:
            state["network_"] = state["network_"].cpu()
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.non_deterministic = False
        return tags


@contextlib.contextmanager
def _quietly(verbose: int) -> Iterator[None]:
    """Without what Optuna says of each trial, and of what is new in it."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(before if verbose else max(before, optuna.logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _copied(study: optuna.Study) -> optuna.Study:
    """The study in memory, with Optuna's default sampler."""
    with _quietly(0):
        copy = optuna.create_study(study_name=study.study_name, directions=study.directions)
        for key, value in study.user_attrs.items():
            copy.set_user_attr(key, value)
        copy.add_trials(study.get_trials(deepcopy=False))
    return copy
