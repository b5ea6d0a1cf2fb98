"""The script of an exported folder: it classifies images without this package."""

from __future__ import annotations

from pathlib import Path

import jinja2

from optuna_layerwise.records.saved_network import SavedNetwork

_PACKAGE = Path(__file__).parents[1]
_SAYS = {
    "classification": "Says the class",
    "multilabel": "Says the labels",
    "regression": "Says the targets",
}
_OWN = {"digits_cnn": "DigitsCNN", "resnet20": "ResNet20"}
"""The networks of this package: name, which is that of its module, to class."""
_TORCHVISION = (
    "from torchvision.models import get_model",
    'get_model(NETWORK["model"], num_classes=len(NETWORK["classes"]), **NETWORK["args"])',
)
_TIMM = (
    "import timm",
    'timm.create_model(NETWORK["model"].removeprefix("timm/"), '
    'num_classes=len(NETWORK["classes"]), **NETWORK["args"])',
)
_TRANSFORMERS = (
    "from transformers import AutoConfig, AutoModelForImageClassification as Auto",
    'Auto.from_config(AutoConfig.for_model(**NETWORK["config"]))',
)


def script_files(network: SavedNetwork) -> dict[str, str]:
    """Name to content of the files: ``predict.py``, and ``network.py`` where it needs that.

    The names of classes and networks are not part of the code: it reads them from the file of
    weights.

    Args:
        network: What is said of the network in the file of weights. One that takes no images has
            no script.
    """
    if network.takes != "images":
        return {}  # the card says how it is used
    files, needed = {}, ["torch", "torchvision", "safetensors"]
    kind = network.model.partition("/")[0]
    if kind in ("timm", "transformers"):
        needed.append(kind)
        imported, build = _TIMM if kind == "timm" else _TRANSFORMERS
    elif (name := _OWN.get(network.model)) is not None:
        needed.append("the file network.py")
        imported, build = f"from network import {name}", f'{name}(len(NETWORK["classes"]))'
        source = _PACKAGE / "models" / f"{network.model}.py"
        files["network.py"] = source.read_text(encoding="utf-8")
    else:
        imported, build = _TORCHVISION
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PACKAGE / "reporting" / "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    packages = f"{', '.join(needed[:-1])} and {needed[-1]}"
    script = environment.get_template("predict.py.j2").render(
        {
            "packages": packages,
            "import": imported,
            "build": build,
            "task": network.task,
            "says": _SAYS[network.task],
        }
    )
    return {"predict.py": script, **files}
