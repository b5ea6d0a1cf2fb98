"""A search as an estimator of scikit-learn."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from optuna_layerwise import FinetuneObjective, LayerwiseClassifier, ModelSpec, Recipe
from optuna_layerwise.models import Team

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS.reshape(-1, 8, 8)
X, Y = DIGITS[:90], LABELS[:90]
QUICK: dict[str, Any] = {
    "model": "digits_cnn",
    "n_trials": 1,
    "recipe": Recipe(epochs=1),
    "compete": False,
    "final_folds": 1,
    "deliver": "one",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def fitted() -> LayerwiseClassifier:
    torch.set_num_threads(1)
    return LayerwiseClassifier(**QUICK).fit(X, Y)


def test_a_search_on_200_digits_is_better_than_a_logistic_regression_of_their_pixels() -> None:
    torch.set_num_threads(1)
    train, test, y_train, y_test = train_test_split(
        *(DIGITS, LABELS), train_size=200, stratify=LABELS, random_state=0
    )
    names = np.array([f"digit {n}" for n in range(10)], dtype=object)
    found = LayerwiseClassifier("digits_cnn", n_trials=4, final_folds=2, random_state=0)
    score = found.fit(train, names[y_train]).score(test, names[y_test])
    plain = LogisticRegression(max_iter=5000).fit(train.reshape(-1, 64), y_train)
    assert score > plain.score(test.reshape(-1, 64), y_test) > 0.9
    assert list(found.classes_) == sorted(names)
    assert isinstance(found.network_, Team)
    assert len(found.study_.trials) == 4
    assert 0.8 < found.held_out_["accuracy"] < score + 0.05  # on half of the images
    assert set(found.policy_) == {"stem", "stage1", "stage2", "stage3", "head"}
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.predict_proba(test[:9]), found.predict_proba(test[:9]))


def test_the_same_random_state_gives_the_same_bits_and_another_one_does_not(
    fitted: LayerwiseClassifier,
) -> None:
    proba = fitted.predict_proba(DIGITS[90:120])
    np.testing.assert_array_equal(clone(fitted).fit(X, Y).predict_proba(DIGITS[90:120]), proba)
    other = clone(fitted).set_params(random_state=1).fit(X, Y)
    assert (other.predict_proba(DIGITS[90:120]) != proba).any()
    assert proba.shape == (30, 10)
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_a_pickle_answers_alike_and_keeps_the_trials_but_no_storage(
    fitted: LayerwiseClassifier, tmp_path: Path
) -> None:
    stored = clone(fitted).set_params(storage=f"sqlite:///{tmp_path}/s.db").fit(X, Y)
    np.testing.assert_array_equal(stored.predict_proba(X), fitted.predict_proba(X))
    loaded = pickle.loads(pickle.dumps(stored))
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.get_params()["n_trials"] == 1
    [kept], [there] = loaded.study_.trials, stored.study_.trials
    assert (kept.params, kept.values) == (there.params, there.values)
    assert type(loaded.study_._storage) is optuna.storages.InMemoryStorage


def test_a_fit_goes_on_with_the_trials_of_its_storage(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    first = LayerwiseClassifier(**QUICK, storage=url, sampler="tpe").fit(X, Y)
    longer = clone(first).set_params(n_trials=3).fit(X, Y)
    whole = clone(longer).set_params(storage=None).fit(X, Y)
    assert [t.params for t in longer.study_.trials] == [t.params for t in whole.study_.trials]
    np.testing.assert_array_equal(longer.predict_proba(X), whole.predict_proba(X))
    with pytest.raises(ValueError, match="was trained with another setup: data is"):
        clone(first).fit(X[:80], Y[:80])
    with pytest.raises(ValueError, match="expected an integer, got None"):
        clone(first).set_params(random_state=None).fit(X, Y)


def test_files_give_the_bits_of_their_arrays_and_other_sizes_are_brought_to_the_networks(
    tmp_path: Path,
) -> None:
    grey = np.round(X * (255 / 16)).astype(np.uint8)
    paths = [tmp_path / f"{index}.png" for index in range(len(grey))]
    for path, image in zip(paths, grey, strict=True):
        Image.fromarray(image).save(path)
    of_arrays = LayerwiseClassifier(**QUICK).fit(grey, Y)
    of_files = LayerwiseClassifier(**QUICK).fit([str(path) for path in paths], Y)
    proba = of_arrays.predict_proba(grey)
    for same in (paths, np.array(paths, dtype=object), list(grey), grey[..., None]):
        np.testing.assert_array_equal(of_files.predict_proba(same), proba)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(of_files.predict_proba(colour), proba)
    large = grey.repeat(3, axis=1).repeat(4, axis=2)
    assert of_files.predict_proba(large).shape == proba.shape


def test_the_scale_of_floats_is_that_of_the_fit(fitted: LayerwiseClassifier) -> None:
    shifted = clone(fitted).fit(X * 3.0 - 7, Y)
    np.testing.assert_array_equal(shifted.predict_proba(X * 3.0 - 7), fitted.predict_proba(X))
    of_one = fitted.predict_proba(X[:1])
    np.testing.assert_allclose(of_one, fitted.predict_proba(X)[:1], rtol=1e-5)


@pytest.mark.slow
def test_cross_validation_in_processes_grids_pipelines_and_groups() -> None:
    search, few = LayerwiseClassifier(**QUICK), np.flatnonzero(LABELS < 4)[:120]
    X, Y = DIGITS[few], LABELS[few]
    here = cross_val_score(search, X, Y, cv=2, error_score="raise")
    np.testing.assert_array_equal(cross_val_score(search, X, Y, cv=2, n_jobs=2), here)
    grid = GridSearchCV(search, {"n_trials": [1, 2]}, cv=2).fit(X, Y)
    assert grid.best_estimator_.n_trials in (1, 2)
    assert len(grid.best_estimator_.study_.trials) == grid.best_params_["n_trials"]
    steps = Pipeline([("square", FunctionTransformer(_square)), ("search", search)])
    np.testing.assert_array_equal(
        cross_val_score(steps, X.reshape(-1, 64), Y, cv=2, error_score="raise"), here
    )


def test_images_of_a_group_stay_on_one_side_of_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    made, splits = list[Any](), LayerwiseClassifier._splits

    def noted(*arguments: Any) -> Any:
        made.append(splits(*arguments))
        return made[-1]

    monkeypatch.setattr(LayerwiseClassifier, "_splits", noted)
    pairs = np.arange(len(X)) // 2
    found = LayerwiseClassifier(**{**QUICK, "final_folds": 2}).fit(X, Y, groups=pairs)
    [data] = made
    assert len(data.train) + len(data.val) == len(X) and len(data.test) == 0
    assert not {*data.train.groups} & {*data.val.groups}
    objective = FinetuneObjective(model="digits_cnn", data=data, recipe=Recipe(epochs=1))
    with pytest.raises(ValueError, match="the data 'X' have no test split to finalize"):
        objective.finalize(found.study_)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[90, 89\]"):
        LayerwiseClassifier(**QUICK).fit(X, Y, groups=pairs[1:])


def _square(rows: Any) -> Any:
    return rows.reshape(-1, 8, 8)


def test_parameters_are_stored_only_and_checked_by_fit() -> None:
    wrong = {
        "n_trials": (0, "n_trials must be at least 1, got 0"),
        "sampler": ("tep", "sampler must be one of .*, got 'tep'; did you mean 'tpe'?"),
        "encoding": ("binari", "did you mean 'binary'?"),
        "deliver": ("all", "deliver must be one of auto, one, team, got 'all'"),
        "metric": ("f1", "metric must be one of .*, got 'f1'"),
        "validation": (1.5, r"validation must be a share in \(0, 1\), got 1.5"),
        "device": ("gpu", "device must be 'auto', 'cpu'"),
        "model": ("resnet17", "resnet18"),
        "image_size": (0, "image_size must be at least 1, got 0"),
    }
    for name, (value, message) in wrong.items():
        search = clone(LayerwiseClassifier(**{**QUICK, name: value}))
        assert search.get_params()[name] == value
        with pytest.raises(ValueError, match=message):
            search.fit(X, Y)
    spec = ModelSpec(name="digits_cnn")
    with pytest.raises(ValueError, match="a ModelSpec has its own"):
        LayerwiseClassifier(**{**QUICK, "model": spec, "image_size": 9}).fit(X, Y)


def test_bad_images_and_labels_are_one_clear_line(
    fitted: LayerwiseClassifier, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    nan = X.copy()
    nan[3, 2, 2] = np.nan
    images = {
        r"got X as an array float64 \[90, 64\]; flat pixels need": X.reshape(-1, 64),
        r"got X as an array float64 \[90, 3, 8, 8\]; move the channels": np.stack([X] * 3, axis=1),
        r"got a int in X\[0\]": [1, 2],
        "got a single str": "a.png",
        "at least one, got an array with 0 sample": [],
        r"1 of 90 images in X cannot be read: X\[3\] .*NaN": nan,
        r"1 of 1 images in X cannot be read: .*broken\.png": [tmp_path / "broken.png"],
        r"1 of 1 images in X cannot be read: .*absent\.png .*No such file": ["absent.png"],
        "some of both": [np.zeros((8, 8)), np.zeros((8, 8), np.uint8)],
        "another type than uint8 as in fit, got uint8": X.astype(np.uint8),
    }
    for message, given in images.items():
        with pytest.raises(ValueError, match=message) as error:
            fitted.predict(given)
        assert "\n" not in str(error.value)
        if len(given) > 1 and "as in fit" not in message:
            with pytest.raises(ValueError, match=message):
                LayerwiseClassifier(**QUICK).fit(given, np.arange(len(given)) % 2)
    labels = {
        "inconsistent numbers of samples: \\[90, 80\\]": Y[:80],
        "at least 2 classes, got 1 class only: \\['a'\\]": ["a"] * 90,
        "continuous": np.linspace(0, 1, 90),
        "not enough images to split|leave a split empty": None,
    }
    for message, y in labels.items():
        x, y = (X, y) if y is not None else (X[:2], [0, 1])
        with pytest.raises(ValueError, match=message):
            LayerwiseClassifier(**QUICK).fit(x, y)
    with pytest.raises(NotFittedError):
        LayerwiseClassifier().predict(X)


class OfRows(LayerwiseClassifier):
    """Takes rows of numbers for images of one line, so that scikit-learn's checks have some."""

    def fit(self, X: Any, y: Any) -> OfRows:
        X, y = validate_data(self, X, y, dtype=np.float64)
        super().fit(X[:, None, :], y)
        return self

    def predict_proba(self, X: Any) -> Any:
        check_is_fitted(self)
        return super().predict_proba(
            validate_data(self, X, reset=False, dtype=np.float64)[:, None]
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, False
        tags.input_tags.string = False
        tags.classifier_tags.poor_score = True  # rows are no images
        return tags


def test_scikit_learn_knows_that_the_estimator_takes_images() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [(_, check)] = estimator_checks_generator(LayerwiseClassifier(**QUICK))
    check(LayerwiseClassifier(**QUICK))  # all others are for tables


@pytest.mark.sweep(8)
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([OfRows(**QUICK)])
def test_the_checks_of_scikit_learn(estimator: OfRows, check: Any) -> None:
    torch.set_num_threads(1)
    check(estimator)
