"""Which arguments of a network are plain values; all others could run code or read files.

A study's settings hold the arguments of its network, and whoever can write to its database can
write there what they like. So an argument must be a plain value, and one that the network's own
code has by that name; what loads weights, files, or code is not an argument.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, TypeAlias

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


Defaults: TypeAlias = Mapping[str, tuple[Any, ...]]
"""Name of an argument to the defaults that it has in a network's code, which may be several."""


def plain_arguments(model: str, arguments: Mapping[str, Any], known: Defaults | None) -> None:
    """Refuse arguments that are not plain values of names that the network knows.

    Args:
        model: Its name, for the message.
        arguments: Name to value.
        known: What the network's code has; ``None`` where that is only known later.

    Raises:
        ValueError: for another name, or another value.
    """
    refused = f"{model} does not take {dict(arguments)}: "
    for name, value in arguments.items():
        if not isinstance(name, str) or _loads(name) or (known is not None and name not in known):
            if name in ("num_classes", "num_labels"):
                raise ValueError(
                    f"{refused}{name} is the number of the data's classes; leave it out"
                )
            some = "" if known is None else _some(name, known)
            these = f", such as {some}" if some else ""
            raise ValueError(
                f"{refused}{name!r} is no argument that shapes the network{these}; what loads "
                "weights, files or code cannot be given so; leave it out"
            )
        if not _is_plain(value):
            raise ValueError(
                f"{refused}{name} must be a number, a word, true, false, null or a list of those"
            )
        if known is not None and isinstance(value, str) and not _may_be_text(known[name]):
            raise ValueError(
                f"{refused}{name} (--model-arg) must be {kind_of(known[name])}, got {value!r}"
            )


def kind_of(defaults: tuple[Any, ...]) -> str:
    """What a value may be like, for a message; empty if the defaults do not tell."""
    for default in defaults:
        if isinstance(default, bool):
            return "true or false"
        if isinstance(default, int | float):
            whole = "whole " if isinstance(default, int) else ""
            return f"a {whole}number such as {default}"
        if isinstance(default, list | tuple) and default:
            return f"a list such as {list(default)}"
        if isinstance(default, str) and default:
            return f"a word such as {default}"
    return ""


def defaults_in(*modules: ModuleType) -> dict[str, tuple[Any, ...]]:
    """All parameters of the functions and classes that modules define."""
    return _merged(
        defaults_of(member)
        for module in modules
        for member in vars(module).values()
        if getattr(member, "__module__", None) == module.__name__ and callable(member)
    )


def defaults_of(function: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """A function's parameters, or a class's."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # one that is written in C
        return {}
    return {
        name: () if parameter.default is parameter.empty else (parameter.default,)
        for name, parameter in parameters.items()
    }


def _merged(several: Iterable[Defaults]) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for defaults in several:
        for name, values in defaults.items():
            found[name] = found.get(name, ()) + values
    return found


def _may_be_text(defaults: tuple[Any, ...]) -> bool:
    """Whether no default says that it may not: they are all numbers, true, false or lists."""
    return not defaults or any(not isinstance(d, int | float | list | tuple) for d in defaults)


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


def _some(name: object, known: Iterable[str]) -> str:
    names = sorted(name for name in known if not _loads(name))
    return ", ".join(difflib.get_close_matches(str(name), names, n=8, cutoff=0.0))
