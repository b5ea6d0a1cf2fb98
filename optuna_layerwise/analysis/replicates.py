"""Which studies are the same method with another seed, and which are to be paired.

A *group* is a method: studies whose settings are equal but for seeds, data and what changes no
result. A *block* is what methods are paired on: data, split and seed. Studies without settings,
those of plain Optuna users, are grouped by name: ``tpe-0`` and ``tpe-1`` are ``tpe`` on the
blocks ``0`` and ``1``.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any

import optuna

from optuna_layerwise.storage import SETTINGS_KEY, study_attr

_NO_METHOD = {
    *("seed", "seeds", "split_seed", "data", "data_root", "image_root", "columns"),
    *("data_fingerprint", "version", "trials", "reuse", "output", "device", "threads"),
    *("compute", "keep_weights", "checkpoint_seconds", "weights", "live", "group_rule"),
}
"""Settings that make no other method: seeds, data, and what may change in a study."""
_SPEAK_FOR_THEMSELVES = {"sampler", "encoding", "model"}
_NUMBERED = re.compile(r"(?P<stem>.*?\D)??(?:[-_. ]+(?:seed|run|rep|s)?[-_. ]*)?(?P<number>\d+)")
_LONGEST = 40


@dataclasses.dataclass(frozen=True)
class Member:
    """A study's place in a comparison.

    Args:
        study: Its name.
        group: Name of the method.
        block: What it is paired on.
        data: Name of the data set; empty if not known.
    """

    study: str
    group: str
    block: str
    data: str = ""


def stored_settings(study: optuna.Study) -> dict[str, Any]:
    """What the command line stored, as it stands there; empty if nothing that can be read."""
    try:
        content = json.loads(study_attr(study, SETTINGS_KEY))
    except (KeyError, TypeError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def data_name(settings: Mapping[str, Any]) -> str:
    """The data set without its folder and suffix."""
    return PurePath(str(settings.get("data", ""))).stem


def grouped(
    studies: Sequence[optuna.Study], patterns: Mapping[str, str] | None = None
) -> list[Member]:
    """The place of every study, in the order given.

    Args:
        studies: Any; each once.
        patterns: Name of a group to a pattern of study names with ``*``, instead of the rules
            above. Where a study has no settings, what ``*`` stands for is its block.

    Raises:
        ValueError: if a pattern matches no study, or a study none or several patterns.
    """
    settings = {study.study_name: stored_settings(study) for study in studies}
    if patterns:
        members = [_by_pattern(study.study_name, patterns) for study in studies]
        for group, pattern in patterns.items():
            if group not in {member.group for member in members}:
                names = [study.study_name for study in studies]
                raise ValueError(f"group {group}={pattern} has no study; there are {names}")
    else:
        names_of = _names({name: _method(s) for name, s in settings.items() if s})
        members = [
            Member(name, names_of[name], "") if name in names_of else _by_number(name)
            for name in settings
        ]
    if all(settings.values()) or not patterns:
        members = [_on_its_data(member, settings[member.study]) for member in members]
        members = _told_apart(members, settings)
    return _numbered(members)


def _by_pattern(name: str, patterns: Mapping[str, str]) -> Member:
    matching = [group for group, pattern in patterns.items() if fnmatchcase(name, pattern)]
    if len(matching) != 1:
        raise ValueError(
            f"study {name!r} must match one group, but matches {matching or 'none'} of "
            f"{dict(patterns)}"
        )
    [group] = matching
    parts = (re.escape(part) for part in re.split(r"\*", patterns[group]))
    stars = re.fullmatch("(.*)".join(parts), name)
    return Member(name, group, " ".join(stars.groups()) if stars else name)


def _by_number(name: str) -> Member:
    match = _NUMBERED.fullmatch(name)
    if match is None or not match["stem"]:
        return Member(name, name, "")
    return Member(name, match["stem"].rstrip("-_. "), match["number"])


def _on_its_data(member: Member, settings: Mapping[str, Any]) -> Member:
    if not settings:
        return member
    data = data_name(settings)
    block = f"{data}, split {settings.get('split_seed')}, seed {settings.get('seed')}"
    return dataclasses.replace(member, block=block, data=data)


def _told_apart(
    members: Sequence[Member], settings: Mapping[str, Mapping[str, Any]]
) -> list[Member]:
    """Other images are another block, whatever their folder is called."""
    prints = {m.study: str(settings[m.study].get("data_fingerprint", ""))[:6] for m in members}
    of_block: dict[str, set[str]] = {}
    for member in members:
        of_block.setdefault(member.block, set()).add(prints[member.study])
    return [
        dataclasses.replace(member, block=f"{member.block} ({prints[member.study]})")
        if len(of_block[member.block]) > 1
        else member
        for member in members
    ]


def _method(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that make a method, flat, as text; what is not set is left out.

    Studies of releases that did not know a setting are as those that do not use it. A baseline
    stands where a search has its encoding.
    """
    flat = {k: v for k, v in settings.items() if k not in _NO_METHOD}
    recipe = flat.pop("recipe", {})
    flat |= {f"recipe.{k}": v for k, v in recipe.items()} if isinstance(recipe, dict) else {}
    flat["encoding"] = flat.pop("baseline", None) or flat.get("encoding")
    flat["pruner"] = flat.get("pruner", "generation") if flat.pop("prune", False) else None
    flat = {k: v for k, v in flat.items() if v is not None}
    seeds = settings.get("seeds", [])
    flat["trainings a trial"] = len(seeds) if isinstance(seeds, list) else seeds
    return {k: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for k, v in flat.items()}


def _names(methods: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Study to the name of its group: the settings in which the groups differ."""
    fields = dict.fromkeys(field for method in methods.values() for field in method)
    differ = [f for f in fields if len({method.get(f) for method in methods.values()}) > 1]
    if not differ:
        differ = [f for f in fields if f in _SPEAK_FOR_THEMSELVES - {"model"}]
    names: dict[str, str] = {}
    key_of: dict[str, tuple[str | None, ...]] = {}
    for study, method in methods.items():
        key = tuple(method.get(field) for field in differ)
        parts = [
            _short(value) if field in _SPEAK_FOR_THEMSELVES else f"{field}={_short(value)}"
            for field, value in zip(differ, key, strict=True)
        ]
        name = ", ".join(parts)
        while key_of.setdefault(name, key) != key:  # cut values may be equal
            name += "'"
        names[study] = name
    return names


def _short(value: str | None) -> str:
    text = "-" if value is None else value
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _numbered(members: Sequence[Member]) -> list[Member]:
    """A method that ran twice on one block has two blocks."""
    seen: dict[tuple[str, str], int] = {}
    result = []
    for member in members:
        place = (member.group, member.block)
        seen[place] = seen.get(place, 0) + 1
        if seen[place] > 1:
            block = f"{member.block} again {seen[place]}".strip()
            member = dataclasses.replace(member, block=block)
        result.append(member)
    return result
