"""docs/data.md says what the registries and torchvision say."""

from __future__ import annotations

import re
from pathlib import Path

from torchvision import datasets

from optuna_layerwise.data import DATA_NAMES
from optuna_layerwise.data.names import PUBLISHED_NAMES, SKIN_NAMES
from optuna_layerwise.data.published import PUBLISHED
from optuna_layerwise.data.skin import SKIN

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def test_every_name_its_page_and_its_archives_are_documented() -> None:
    for name in DATA_NAMES:
        assert f"`{name}`" in PAGE or name == "digits"
    for row in (*PUBLISHED.values(), *SKIN.values()):
        assert f"<{row.page}>" in PAGE
    for row in PUBLISHED.values():
        for archive in row.archives:
            assert f"`{archive}`" in PAGE


def test_the_documented_checksums_are_those_of_torchvision() -> None:
    known = {
        *(md5 for _, md5 in datasets.MNIST.resources),
        *(datasets.USPS.split_list[split][2] for split in ("train", "test")),
        *(datasets.SVHN.split_list[split][2] for split in ("train", "test")),
        datasets.CIFAR10.tgz_md5,
        datasets.STL10.tgz_md5,
        *(md5 for _, md5 in datasets.Flowers102._file_dict.values()),
        datasets.DTD._MD5,
    }
    assert set(re.findall(r"`([0-9a-f]{32})`", PAGE)) == known


def test_the_names_that_the_command_line_tells_are_those_that_can_be_read() -> None:
    assert set(PUBLISHED_NAMES) == set(PUBLISHED)
    assert set(SKIN_NAMES) == set(SKIN)
