"""Files that nobody may run, read out, delete or overwrite, beside a folder with studies."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

SECRET = "the-secret-of-this-machine-5f3759df"
"""Stands in the files, and nowhere in what commands print or write."""
_MODULE = """
import pathlib
pathlib.Path({ran!r}).write_text("module")
from transformers import PretrainedConfig, PreTrainedModel
class Canary(PretrainedConfig):
    model_type = "canary"
class CanaryModel(PreTrainedModel):
    config_class = Canary
"""


class _Run:
    """What a pickle runs when it is loaded."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.ran), 0o755)


@dataclasses.dataclass(frozen=True)
class Canaries:
    """A folder outside of all studies.

    Attributes:
        folder: Is made by `make`.
        ran: Exists once code of the folder has run.
    """

    folder: Path
    ran: Path

    def make(self) -> None:
        """Write all of them."""
        victim = self.folder / "victim"
        for one in (victim / "trials", self.code):
            one.mkdir(parents=True)
        for path in (self.secret, victim / "best.safetensors", victim / "README.md"):
            path.write_text(f"{SECRET} {path.name}\n")
        for number in range(4):
            for name in ("trial-{}.pt", "trial-{}.safetensors", "{}.checkpoint"):
                (victim / "trials" / name.format(number)).write_text(f"{SECRET}\n")
        mapping = {"AutoConfig": "canary.Canary", "AutoModel": "canary.CanaryModel"}
        mapping |= {"AutoModelForImageClassification": "canary.CanaryModel"}
        config = {"model_type": "canary", "auto_map": mapping, "architectures": ["CanaryModel"]}
        (self.code / "config.json").write_text(json.dumps(config))
        for name in ("canary.py", "hubconf.py"):
            (self.code / name).write_text(_MODULE.format(ran=str(self.ran)))
        self.pickled.write_bytes(self.pickle)
        with zipfile.ZipFile(self.array, "w") as archive:
            for name in ("train_images.npy", "train_labels.npy", "images.npy", "labels.npy"):
                archive.writestr(name, _array(self.pickle))

    @property
    def secret(self) -> Path:
        """A file of the user's."""
        return self.folder / "secret.txt"

    @property
    def code(self) -> Path:
        """A network's folder with Python of its own."""
        return self.folder / "code"

    @property
    def pickled(self) -> Path:
        """A file of weights that runs something when it is unpickled."""
        return self.folder / "weights.pth"

    @property
    def array(self) -> Path:
        """A file of images that does."""
        return self.folder / "images.npz"

    @property
    def pickle(self) -> bytes:
        """That alone."""
        return pickle.dumps(_Run(self.ran))


def _array(pickled: bytes) -> bytes:
    """A numpy array of objects."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }"
    header += b" " * (117 - len(header)) + b"\n"
    out = io.BytesIO()
    out.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickled)
    return out.getvalue()


def digests(folder: Path) -> dict[str, str]:
    """Path to what is there, for all files and links below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
