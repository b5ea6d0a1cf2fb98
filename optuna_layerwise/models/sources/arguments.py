"""Which arguments of a network are plain values; all others could run code or read files.

A study's settings hold the arguments of its network, and whoever can write to its database can
write there what they like. So an argument must be a plain value, and one that the network's own
code has by that name; what loads weights, files, or code is not an argument.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import Any

_REFUSED = {
    *("weight", "weights", "pretrained", "checkpoint", "backbone", "adapter", "safetensors"),
    *("path", "paths", "file", "filename", "folder", "dir", "directory", "cache", "load"),
    *("url", "uri", "hub", "repo", "repository", "revision", "token", "proxies", "download"),
    *("trust", "code", "custom", "auto", "import", "module", "kernel", "kernels", "fn"),
    *("implementation", "quantization", "config", "cfg", "model", "architecture", "scriptable"),
    *("self", "cls", "args", "kwargs", "variant", "progress", "labels", "classes"),
}
"""Words in names of arguments that load something, or that are not for the user to give."""
_HARMLESS = ("drop_path", "class_token", "aux_classes")
"""Parts of names that only look like those."""
_KINDS = (bool, int, float, str, type(None))
_LONGEST = 1000
"""Elements of a list, and characters of a text."""


def plain_arguments(
    model: str, arguments: Mapping[str, Any], known: Collection[str] | None
) -> None:
    """Refuse arguments that are not plain values of names that the network knows.

    Args:
        model: Its name, for the message.
        arguments: Name to value.
        known: Names that the network's code has; ``None`` where that is only known later.

    Raises:
        ValueError: for another name, or another value.
    """
    refused = f"{model} does not take {dict(arguments)}: "
    for name, value in arguments.items():
        if not isinstance(name, str) or _loads(name) or (known is not None and name not in known):
            these = "" if known is None else f", such as {_some(name, known)}"
            raise ValueError(
                f"{refused}{name!r} is no argument that shapes the network{these}; what loads "
                "weights, files or code cannot be given so; leave it out"
            )
        if not _is_plain(value):
            raise ValueError(
                f"{refused}{name} must be a number, a word, true, false, null or a list of those"
            )


def names_in(module: ModuleType) -> set[str]:
    """The names of all parameters of the functions and classes that a module defines."""
    found = set()
    for member in vars(module).values():
        if getattr(member, "__module__", None) == module.__name__ and callable(member):
            found |= names_of(member)
    return found


def names_of(function: Callable[..., Any]) -> set[str]:
    """The names of a function's parameters, or of a class's."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # one that is written in C
        return set()


def _is_plain(value: Any, depth: int = 2) -> bool:
    if isinstance(value, (list, tuple)):
        return depth > 0 and len(value) <= _LONGEST and all(_is_plain(v, depth - 1) for v in value)
    if isinstance(value, str):
        return len(value) <= _LONGEST and re.fullmatch(r"[\w.+-]*", value) is not None
    return isinstance(value, _KINDS)


def _loads(name: str) -> bool:
    rest = name.lower()
    for harmless in _HARMLESS:
        rest = rest.replace(harmless, "")
    return name.startswith("_") or not _REFUSED.isdisjoint(rest.split("_"))


def _some(name: object, known: Collection[str]) -> str:
    names = sorted(name for name in known if not _loads(name))
    return ", ".join(difflib.get_close_matches(str(name), names, n=8, cutoff=0.0))
