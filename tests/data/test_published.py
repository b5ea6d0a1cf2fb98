"""Torchvision's data sets: from the files that it downloads to splits."""

from __future__ import annotations

import bz2
import gc
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from miniatures import MINIATURES, Miniature

from optuna_layerwise.data import Splits, load_data
from optuna_layerwise.data.published import PUBLISHED

NAMES = sorted(PUBLISHED)
# torchvision leaves the connection of an answer 404 to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:the validation split has no image of the classes"),
]


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files`` by path on loopback; what is not there is not found."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.lacked = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path[1:]
        self.server.asked.append(name)
        content = self.server.files.get(name)
        self.server.lacked |= content is None
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
    if server.lacked:
        gc.collect()


@pytest.fixture
def made(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Miniature]:
    """Builds a miniature that torchvision knows and the server serves."""

    def make(name: str) -> Miniature:
        miniature = MINIATURES[name]()
        miniature.patch(monkeypatch, server.address)
        server.files |= miniature.archives
        return miniature

    return make


def place(miniature: Miniature, root: Path) -> None:
    for name, content in miniature.archives.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def left_in(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def load(name: str, miniature: Miniature, root: Path, *, download: bool = False) -> Splits:
    return load_data(name, root=root, download=download, image_size=miniature.side)


def test_every_published_set_has_a_miniature() -> None:
    assert sorted(MINIATURES) == NAMES


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", NAMES)
def test_a_downloaded_set_has_the_official_splits(
    name: str, made: Callable[[str], Miniature], tmp_path: Path
) -> None:
    miniature = made(name)
    splits = load(name, miniature, tmp_path / "new" / "root", download=True)
    found = {"train": splits.train, "val": splits.val, "test": splits.test.open()}
    assert splits.classes == miniature.classes
    assert splits.source == name
    if "val" not in miniature.truth:
        n = len(miniature.truth["train"][1])
        assert [len(splits.train), len(splits.val)] == [n * 4 // 5, n // 5]
        assert not set(splits.train.names) & set(splits.val.names)
    for split, (pixels, labels) in miniature.truth.items():
        by_content = {image.tobytes(): label for image, label in zip(pixels, labels, strict=True)}
        assert len(by_content) == len(labels)
        images = [found[split]]
        if split == "train" and "val" not in miniature.truth:
            images.append(found["val"])
        assert sum(map(len, images)) == len(labels)
        for part in images:
            for image, label in zip(part.batch(), part.labels, strict=True):
                assert by_content[image.tobytes()] == label


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", NAMES)
def test_a_set_that_is_there_is_read_without_a_download_wherever_it_lies(
    name: str, made: Callable[[str], Miniature], server: Server, tmp_path: Path
) -> None:
    miniature = made(name)
    first = load(name, miniature, tmp_path / "root", download=True)
    asked = len(server.asked)
    (tmp_path / "root").rename(tmp_path / "moved")
    for download in (False, True):
        again = load(name, miniature, tmp_path / "moved", download=download)
        assert again.fingerprint == first.fingerprint
        assert again.train.names == first.train.names
    assert len(server.asked) == asked


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", NAMES)
def test_archives_that_are_there_are_unpacked_without_network(
    name: str, made: Callable[[str], Miniature], server: Server, tmp_path: Path
) -> None:
    miniature = made(name)
    place(miniature, tmp_path)
    splits = load(name, miniature, tmp_path, download=True)
    assert server.asked == []
    assert len(splits.test) == len(miniature.truth["test"][1])
    for archive, content in miniature.archives.items():
        assert (tmp_path / archive).read_bytes() == content


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_set_says_where_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load_data(name, root=tmp_path, image_size=8)
    for part in (f"{name} is not in {tmp_path}", "--download", PUBLISHED[name].page):
        assert part in str(caught.value)
    assert left_in(tmp_path) == []
    with pytest.raises(ValueError, match=f"{name} needs root .--data-root"):
        load_data(name, image_size=8)


@pytest.mark.sweep(3)
@pytest.mark.parametrize("damage", ["nothing", "half", "other"])
@pytest.mark.parametrize("name", NAMES)
def test_a_failed_download_is_one_error_and_leaves_nothing(
    name: str, damage: str, made: Callable[[str], Miniature], server: Server, tmp_path: Path
) -> None:
    miniature = made(name)
    last = list(miniature.archives)[-1]
    content = miniature.archives[last]
    broken = {"half": content[: len(content) // 2], "other": b"<html>" + content[6:]}
    server.files.pop(last)
    if damage in broken:
        server.files[last] = broken[damage]
    with pytest.raises(ConnectionError) as caught:
        load(name, miniature, tmp_path, download=True)
    for part in (f"cannot download {name}", str(tmp_path), PUBLISHED[name].page, "--download"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == []
    server.files[last] = content
    splits = load(name, miniature, tmp_path, download=True)
    assert len(splits.test) == len(miniature.truth["test"][1])


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", NAMES)
def test_half_an_archive_of_an_earlier_download_is_never_taken(
    name: str, made: Callable[[str], Miniature], server: Server, tmp_path: Path
) -> None:
    """As torchvision leaves it after a broken connection."""
    miniature = made(name)
    place(miniature, tmp_path)
    last = list(miniature.archives)[-1]
    content = miniature.archives[last]
    (tmp_path / last).write_bytes(content[: len(content) // 2])
    with pytest.raises((ValueError, FileNotFoundError), match=f"{name} .*--download"):
        load(name, miniature, tmp_path)
    if name == "fgvc_aircraft":  # torchvision knows no checksum of it
        with pytest.raises(ConnectionError, match="a damaged one in these places .* deleted"):
            load(name, miniature, tmp_path, download=True)
        (tmp_path / last).unlink()
    splits = load(name, miniature, tmp_path, download=True)
    assert server.asked == [last] * len(server.asked) and server.asked
    assert len(splits.test) == len(miniature.truth["test"][1])
    assert not list(tmp_path.glob("unfinished-*"))


UNPACKED = {  # a file of the unpacked set whose loss or damage torchvision or we can see
    "mnist": "MNIST/raw/train-images-idx3-ubyte",
    "usps": "usps.t.bz2",
    "svhn": "test_32x32.mat",
    "cifar10": "cifar-10-batches-py/data_batch_3",
    "stl10": "stl10_binary/train_X.bin",
    "flowers102": "flowers-102/setid.mat",
    "fgvc_aircraft": "fgvc-aircraft-2013b/data/images_variant_val.txt",
    "dtd": "dtd/dtd/labels/val1.txt",
}


@pytest.mark.sweep(2)
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "cut"])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_set_is_refused_and_a_download_repairs_it(
    name: str, lost: bool, made: Callable[[str], Miniature], tmp_path: Path
) -> None:
    miniature = made(name)
    whole = load(name, miniature, tmp_path, download=True)
    for archive in miniature.archives:
        if archive not in PUBLISHED[name].places and archive != UNPACKED[name]:
            (tmp_path / archive).unlink()
    file = tmp_path / UNPACKED[name]
    content = file.read_bytes()
    if lost:
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2 + 1])
    with pytest.raises(ValueError, match=f"{name} in .* is damaged, or half .*--download"):
        load(name, miniature, tmp_path)
    assert load(name, miniature, tmp_path, download=True).fingerprint == whole.fingerprint


@pytest.mark.parametrize("name", ["usps", "svhn", "cifar10", "stl10"])
def test_a_whole_file_of_another_content_is_refused_and_downloaded_again(
    name: str, made: Callable[[str], Miniature], tmp_path: Path
) -> None:
    miniature = made(name)
    whole = load(name, miniature, tmp_path, download=True)
    file = tmp_path / UNPACKED[name]
    content = file.read_bytes()
    if name == "usps":
        content = bz2.compress(bz2.decompress(content) * 2)
    file.write_bytes(content + b"\n" * (name != "usps"))
    with pytest.raises(ValueError, match=f"{name} in .* is damaged"):
        load(name, miniature, tmp_path)
    assert load(name, miniature, tmp_path, download=True).fingerprint == whole.fingerprint


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["flowers102", "fgvc_aircraft", "dtd"])
def test_missing_photos_are_counted_named_and_downloaded_again(
    name: str, made: Callable[[str], Miniature], tmp_path: Path
) -> None:
    miniature = made(name)
    whole = load(name, miniature, tmp_path, download=True)
    for image in whole.train.names[:5]:
        (tmp_path / image).unlink()
    total = len(whole.train)
    with pytest.raises(ValueError, match=rf"5 of {total} images of train are missing, such as "):
        load(name, miniature, tmp_path)
    for archive in miniature.archives:
        (tmp_path / archive).unlink()
    assert load(name, miniature, tmp_path, download=True).fingerprint == whole.fingerprint


def test_no_network_is_one_error(
    made: Callable[[str], Miniature], server: Server, tmp_path: Path
) -> None:
    miniature = made("cifar10")
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=r"cannot download cifar10 .*refused.*nothing"):
        load("cifar10", miniature, tmp_path, download=True)
    assert left_in(tmp_path) == []


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["cifar10", "mnist", "fgvc_aircraft"])
def test_a_full_disk_is_one_error_and_leaves_nothing(
    name: str, made: Callable[[str], Miniature], tiny_disk: Callable[[int], Path]
) -> None:
    miniature = made(name)
    size = sum(map(len, miniature.archives.values()))
    root = tiny_disk(size + size // 4)  # the archives fit, what is in them does not fit as well
    with pytest.raises(OSError, match=f"no space left in {root} for {name}: .*--data-root"):
        load(name, miniature, root, download=True)
    assert left_in(root) == []


def test_labels_are_those_of_the_miniature_in_order(
    made: Callable[[str], Miniature], tmp_path: Path
) -> None:
    miniature = made("svhn")
    test = load("svhn", miniature, tmp_path, download=True).test.open()
    assert test.names == tuple(f"test/{index}" for index in range(10))
    np.testing.assert_array_equal(test.labels, miniature.truth["test"][1])
    np.testing.assert_array_equal(test.batch(), miniature.truth["test"][0])
