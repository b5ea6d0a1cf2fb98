from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from optuna_layerwise.data import Splits, load_data

WritePool = Callable[..., Path]


def mapped(root: Path, cache: Path, size: int = 8) -> Splits:
    return load_data(root, image_size=size, memory_budget=0, cache_dir=cache)


def all_pixels(splits: Splits) -> list[np.ndarray]:
    return [images.batch() for images in (splits.train, splits.val, splits.test.open())]


def test_mapped_pixels_equal_those_in_memory(write_pool: WritePool, tmp_path: Path) -> None:
    root = write_pool({"a": 300, "b": 20})  # more than one chunk
    splits = mapped(root, tmp_path / "cache")
    assert isinstance(splits.train.pixels, np.memmap)
    in_memory = load_data(root, image_size=8)
    assert not isinstance(in_memory.train.pixels, np.memmap)
    for one, other in zip(all_pixels(splits), all_pixels(in_memory), strict=True):
        np.testing.assert_array_equal(one, other)


def test_budget_is_what_all_splits_take_together(write_pool: WritePool, tmp_path: Path) -> None:
    root, needed = write_pool({"a": 10, "b": 10}), 20 * 8 * 8 * 3
    for budget, kind in ((needed, False), (needed - 1, True)):
        splits = load_data(root, image_size=8, memory_budget=budget, cache_dir=tmp_path / "cache")
        assert isinstance(splits.train.pixels, np.memmap) is kind


def test_existing_cache_is_reused(write_pool: WritePool, tmp_path: Path) -> None:
    root, cache = write_pool({"a": 10, "b": 10}), tmp_path / "cache"
    first = mapped(root, cache)
    (folder,) = cache.iterdir()
    assert folder.name == first.fingerprint
    marked = np.memmap(folder / "val.u8", np.uint8, "r+")
    marked[:] = 77
    marked.flush()
    second = mapped(root, cache)
    assert (second.val.batch() == 77).all()
    np.testing.assert_array_equal(second.train.batch(), first.train.batch())


def test_changed_image_does_not_meet_the_old_cache(write_pool: WritePool, tmp_path: Path) -> None:
    root, cache = write_pool({"a": 10, "b": 10}), tmp_path / "cache"
    mapped(root, cache)
    (root / "a" / "000.png").write_bytes((root / "a" / "001.png").read_bytes())
    for one, other in zip(
        all_pixels(mapped(root, cache)), all_pixels(load_data(root, image_size=8)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert len(list(cache.iterdir())) == 2


def test_mapped_pixels_cannot_be_changed(write_pool: WritePool, tmp_path: Path) -> None:
    splits = mapped(write_pool({"a": 10, "b": 10}), tmp_path / "cache")
    assert isinstance(splits.train.pixels, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        splits.train.pixels[0] = 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "train.u8").write_bytes(b"short"),
        lambda folder: (folder / "test.u8").unlink(),
        lambda folder: (folder / "bad.json").write_text("{}"),
        lambda folder: (folder / "bad.json").write_text("{"),
    ],
)
def test_damaged_cache_is_refused_by_name(
    write_pool: WritePool, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    root, cache = write_pool({"a": 10, "b": 10}), tmp_path / "cache"
    (folder,) = (mapped(root, cache), *cache.iterdir())[1:]
    damage(folder)
    with pytest.raises(ValueError, match=f"cache .*{folder.name} is damaged; delete it"):
        mapped(root, cache)


def test_concurrent_loaders_agree_and_leave_one_cache(
    write_pool: WritePool, tmp_path: Path
) -> None:
    root, cache = write_pool({"a": 60, "b": 60}), tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: all_pixels(mapped(root, cache)), range(4)))
    for pixels in loaded[1:]:
        for one, other in zip(pixels, loaded[0], strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.slow
def test_killed_loader_leaves_nothing_that_counts_as_whole(
    write_pool: WritePool, tmp_path: Path
) -> None:
    root, cache = write_pool({"a": 200, "b": 200}), tmp_path / "cache"
    code = (
        "import sys; from optuna_layerwise.data import load_data;"
        "load_data(sys.argv[1], image_size=320, memory_budget=0, cache_dir=sys.argv[2])"
    )
    loader = subprocess.Popen([sys.executable, "-c", code, str(root), str(cache)])
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in cache.glob("unfinished-*/images/train.u8")):
        assert loader.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    loader.kill()
    loader.wait()
    assert [path.name[:11] for path in cache.iterdir()] == ["unfinished-"]
    expected = all_pixels(load_data(root, image_size=320))
    for one, other in zip(all_pixels(mapped(root, cache, 320)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_default_cache_is_the_users_cache_folder(
    write_pool: WritePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    splits = load_data(write_pool({"a": 10, "b": 10}), image_size=8, memory_budget=0)
    (train,) = (tmp_path / "home").rglob("train.u8")
    assert train.parent.name == splits.fingerprint
    assert "optuna-layerwise" in train.parts
