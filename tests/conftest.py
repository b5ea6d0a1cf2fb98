"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tiers import COLLECTED, EMPTY, mark_sweeps

if TYPE_CHECKING:  # torch is imported by the tests that need it
    from optuna_layerwise import ModelSpec
    from optuna_layerwise.data import Splits

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real weights and images; absent on most machines, required in CI."""
    if not SHARED.is_dir():
        message = f"the real data of ../shared/data is not here ({SHARED})"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where commands note what their user has chosen, instead of the folder of who runs tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("states")))
        yield


@pytest.fixture(scope="session")
def digits_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of `DigitsCNN`, pretrained on the digits 0 to 4 in about two seconds."""
    import torch

    from optuna_layerwise.training.pretrained_digits import pretrained_digits

    torch.set_num_threads(1)
    return pretrained_digits(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def spec(digits_weights: Path) -> ModelSpec:
    """That network with its weights."""
    from optuna_layerwise import ModelSpec

    return ModelSpec(name="digits_cnn", weights=digits_weights, image_size=8)


@pytest.fixture(scope="session")
def splits() -> Splits:
    """The digits 5 to 9."""
    from optuna_layerwise import load_data

    return load_data("digits", image_size=8)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of the given number of bytes, which only root can."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a small disk cannot be mounted here: {error}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


# How long an example takes says how busy the machine is.
settings.register_profile("any", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any")


def pytest_configure() -> None:
    """Names are unique; Ctrl-C works, for commands that tests start as well, wherever we run."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("*.py"))
    if twice := {name for name, n in names.items() if n > 1} - {"conftest.py"}:
        raise pytest.UsageError(f"modules of tests need different names; not {twice}")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what a sweep leaves to `make test-all`; start with the long tests.

    They come first so that no worker is left alone with one.
    """
    config.stash[EMPTY] = mark_sweeps(items)
    quick = {item.path for item in items if not item.get_closest_marker("slow")}
    config.stash[COLLECTED] = {item.path: item.path in quick for item in items}
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
