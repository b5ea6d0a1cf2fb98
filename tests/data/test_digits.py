from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from optuna_layerwise.data import Images, digits_source, load_data


def assert_is_the_digit_it_names(images: Images) -> None:
    grey, digits = load_digits(return_X_y=True)
    rows = [int(name.removeprefix("digits/")) for name in images.names]
    assert [images.classes[label] for label in images.labels] == digits[rows].astype(str).tolist()
    scaled = grey[rows].reshape(-1, 8, 8) / 16 * 255
    for channel in range(3):
        assert np.abs(images.batch()[..., channel] - scaled).max() <= 0.5


def test_target_task_has_ten_training_and_twenty_validation_images_per_class() -> None:
    splits = load_data("digits", image_size=8)
    test = splits.test.open()
    assert splits.classes == ("5", "6", "7", "8", "9")
    assert np.bincount(splits.train.labels).tolist() == [10] * 5
    assert np.bincount(splits.val.labels).tolist() == [20] * 5
    assert (
        len({*splits.train.names, *splits.val.names, *test.names}) == 50 + 100 + len(test) == 896
    )
    for images in (splits.train, splits.val, test):
        assert_is_the_digit_it_names(images)


def test_source_task_is_the_other_digits() -> None:
    train, val = digits_source()
    assert train.classes == val.classes == ("0", "1", "2", "3", "4")
    assert len({*train.names, *val.names}) == len(train) + len(val) == 901
    assert_is_the_digit_it_names(train)
    assert_is_the_digit_it_names(val)


def test_larger_size_upsamples_both_tasks() -> None:
    splits = load_data("digits", image_size=32)
    assert splits.train.batch().shape == (50, 32, 32, 3)
    assert digits_source(image_size=16)[1].batch().shape == (180, 16, 16, 3)
    small = load_data("digits", image_size=8).train.batch().mean(axis=(1, 2, 3))
    large = splits.train.batch().mean(axis=(1, 2, 3))
    assert np.corrcoef(small, large)[0, 1] > 0.9


def test_smaller_size_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 for digits, got 4"):
        load_data("digits", image_size=4)
    with pytest.raises(ValueError, match="at least 8, got 4"):
        digits_source(image_size=4)


def test_split_seed_chooses_the_training_images() -> None:
    first, again, other = (load_data("digits", image_size=8, split_seed=s) for s in (0, 0, 1))
    assert first.train.names == again.train.names != other.train.names
    assert first.fingerprint == again.fingerprint != other.fingerprint
