"""The settings of ``tune`` in a YAML file, which a team may keep beside its code.

A key is an option without its dashes, and a value is what would be typed for it: it is read by the
same code. A list stands for an option that is given several times, names and values for one that
takes ``name=value``.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml

from optuna_layerwise.experiments.presets import PRESETS, filled_in
from optuna_layerwise.experiments.settings import SETTINGS, Settings
from optuna_layerwise.io.fields import Setting
from optuna_layerwise.io.plain import TOO_DEEP, one_of, shortened
from optuna_layerwise.storage.urls import has_secrets, without_secrets

BESIDE = ("study", "storage", "preset")
"""Parameters of ``tune`` that a file may set though they are no settings."""
_KEYS = {setting.option[2:]: name for name, setting in SETTINGS.items()} | {
    name: name for name in BESIDE
}
_RELATIVE = re.compile(r"((?:sqlite|journal)[\w+]*:///)(?!/|:|file:)(.+)|(?!.*://)(.+\.log)")
"""Addresses of storages that are files by relative paths; see `open_storage`."""
_PLAIN = {"true": True, "false": False, "null": None, "~": None, "": None}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads no aliases: a list that contains itself, or a million times another, is no setting."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases are not read", problem_mark=mark)
        return super().compose_node(parent, index)


def read_settings(path: Path) -> dict[str, Any]:
    """Read a file of settings.

    Args:
        path: The file; paths in it are relative to its folder.

    Returns:
        Parameter of ``tune``, a name of `SETTINGS` or `BESIDE`, to the text that would be typed
        for it, or to several texts. A key without a value is left out.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no mapping of known keys to values that they can have; the message
            has the file, the line and the key.
    """
    root = _parsed(path)
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"{path} must have lines of key: value, got {shortened(_content(root))}")
    found: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key_node, node in root.value:
        line = key_node.start_mark.line + 1
        where, key = f"{path}, line {line}", str(key_node.value)
        name = _known(where, key)
        if name in lines:
            raise ValueError(f"{where}: {key} is set in line {lines[name]} already; keep one")
        lines[name] = line
        if not _is_empty(node):
            found[name] = _read(where, key, name, node, path.absolute().parent)
    return found


def _parsed(path: Path) -> yaml.Node | None:
    """The file as YAML nodes; ``None`` if it says nothing."""
    try:
        root: yaml.Node | None = yaml.compose(path.read_text(encoding="utf-8-sig"), _Loader)
        return root
    except OSError as error:
        raise OSError(
            error.errno, f"--config must be a file of settings, but {path}: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be text in UTF-8, got the byte {error.object[error.start]:#04x} at "
            f"{error.start}"
        ) from error
    except RecursionError:
        raise ValueError(f"{path} cannot be read: {TOO_DEEP}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"{path}{line}: it is no YAML that can be read: {said}") from error


def _known(where: str, key: str) -> str:
    """The parameter that a key sets."""
    if key in _KEYS:
        return _KEYS[key]
    near = [SETTINGS[key].option[2:]] if key in SETTINGS else []
    near = near or difflib.get_close_matches(key.replace("_", "-").strip("-"), _KEYS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"{where}: unknown key {shortened(key)}; {hint}keys are the options of `tune` without "
        "dashes in front, and `optuna-layerwise init` writes a file with all of them"
    )


def _read(where: str, key: str, name: str, node: yaml.Node, folder: Path) -> Any:
    """The text or texts that would be typed, and that are found to be right."""
    if name in BESIDE:
        text = _text(where, key, node)
        if name == "preset":
            return one_of(f"{where}: {key}", text, [*PRESETS, "paper"])
        return _address(where, text, folder) if name == "storage" else text
    setting = SETTINGS[name]
    typed = _typed(where, key, setting, node)
    if setting.place is not None:
        place, texts = setting.place, typed if isinstance(typed, list) else [typed]
        made = [place(os.path.expanduser(text), folder) for text in texts]
        typed = made if isinstance(typed, list) else made[0]
    try:
        Settings(**filled_in({name: setting.read(typed)}))
    except ValueError as error:
        said = str(error)
        for beginning in (setting.option, setting.path[-1]):
            said = re.sub(rf"^{beginning}\b", key, said)
        said = said if said.startswith(key) else f"{key}: {said}"
        raise ValueError(f"{where}: {said}") from error
    return typed


def _typed(where: str, key: str, setting: Setting, node: yaml.Node) -> Any:
    if get_origin(setting.kind) is Mapping:
        if not isinstance(node, yaml.MappingNode):
            raise ValueError(
                f"{where}: {key} must have names and values, as in {{name: value}}, "
                f"got {shortened(_content(node))}"
            )
        content = _content(node)
        if len(content) < len(node.value):
            raise ValueError(f"{where}: {key} has a name twice, got {list(content)}; keep one")
        return [f"{name}={json.dumps(each)}" for name, each in content.items()]
    several = setting.typed == list[str]
    if isinstance(node, yaml.SequenceNode) and (several or get_args(setting.kind)):
        texts = [_text(where, key, each) for each in node.value]
        return texts if several else ",".join(texts)
    text = _text(where, key, node, also=", or a list of them" if several else "")
    return [text] if several else text


def _text(where: str, key: str, node: yaml.Node, also: str = "") -> str:
    """The text of a single value, as it stands there."""
    if not isinstance(node, yaml.ScalarNode):
        kind = f"a single value{also}"
        raise ValueError(f"{where}: {key} must be {kind}, got {shortened(_content(node))}")
    if node.style is None and node.value in _PLAIN and _PLAIN[node.value] is None:
        raise ValueError(
            f"{where}: {key} must be a value, got {node.value or 'nothing'}; leave out the line, "
            "or all behind the colon, for the default"
        )
    return str(node.value)


def _is_empty(node: yaml.Node) -> bool:
    """Whether the value is left out."""
    return isinstance(node, yaml.ScalarNode) and node.style is None and not node.value


def _content(node: yaml.Node) -> Any:
    """The value of a node; numbers and truth values are read as in ``name=value`` options."""
    if isinstance(node, yaml.MappingNode):
        return {str(name.value): _content(value) for name, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_content(each) for each in node.value]
    if node.style is not None:
        return node.value
    if node.value.lower() in _PLAIN:
        return _PLAIN[node.value.lower()]
    try:
        return json.loads(node.value)
    except ValueError:
        return node.value


def _address(where: str, url: str, folder: Path) -> str:
    """The URL of a storage whose file, if it is one, lies where it does seen from the folder."""
    if has_secrets(url):
        raise ValueError(
            f"{where}: storage has a password, {without_secrets(url)}; keep it out of files, and "
            "set OPTUNA_LAYERWISE_STORAGE in its place"
        )
    if (relative := _RELATIVE.fullmatch(url)) is None:
        return url
    scheme, path, journal = relative.groups()
    return f"{scheme}{folder / path}" if scheme else str(folder / journal)


def shown_defaults(data: str | None = None) -> dict[str, str]:
    """Setting to the text of its default, where that is known without the network.

    Args:
        data: On which defaults may depend.
    """
    given: dict[str, Any] = {} if data is None else {"data": data}
    chosen = filled_in(given)
    settings, found = Settings(**chosen), {}
    for name, setting in SETTINGS.items():
        value = setting.of(settings)
        if setting.default is None or name in chosen:
            words: Sequence[Sequence[str]] = setting.words(value)
            text = words[0][-1] if words else ""
            found[name] = str(value).lower() if setting.kind is bool else text
    return found
