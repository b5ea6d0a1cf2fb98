"""From the units of an unknown network to its stages: at least 4, at most 12 with the head.

A stage begins where the resolution changes, as in the known families. Where one or two
resolutions are all there is, the widths cut the longest stage, or else it is cut in quarters.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from optuna_layerwise.models.families.paths import quarters

FEWEST, MOST = 4, 12
"""Stages of a network that is deep enough, with its head."""
_EACH = 6
"""So many units, with the head, are a stage each: a stem, four stages and a head are enough."""
_Units = Sequence["Unit"]


@dataclasses.dataclass(eq=False)
class Unit:
    """A part that no stage divides: a module with layers, and norms and the like around it.

    Args:
        name: The path of the module.
        paths: Of all modules and parameters in it.
        n_layers: How many layers are in it.
        resolution: Pixels, or tokens, that it gives; ``None`` if that is not known.
        width: Channels that it gives.
    """

    name: str
    paths: list[str]
    n_layers: int
    resolution: int | None = None
    width: int | None = None


def is_inside(path: str, module: str) -> bool:
    """Whether a path is that of a module, or of a part of it."""
    return path == module or path.startswith(f"{module}.")


def stages_of(trunk: _Units) -> dict[str, list[Unit]]:
    """The stages of the units before the head, by name."""
    if len(trunk) < _EACH:
        return {unit.name: [unit] for unit in trunk}
    repeated = [place for place, unit in enumerate(trunk) if unit.n_layers > 1]
    first, last = (repeated[0], repeated[-1] + 1) if len(repeated) > 1 else (0, len(trunk))
    stem, tail = [*trunk[:first]], [*trunk[last:]]
    resolutions = _resolutions(trunk)
    groups = _runs(trunk[first:last], resolutions[first:last])
    if len(repeated) > 1:
        groups = _with_transitions(groups)
    lone = len(groups) > 1 and sum(unit.n_layers > 1 for unit in groups[0]) == 1
    if stem and lone and resolutions[first - 1] == resolutions[first]:  # as in MobileNet
        stem += groups.pop(0)
    around = bool(stem) + bool(tail) + 1
    while (len(groups) < 3 or len(groups) + around < FEWEST) and len(max(groups, key=len)) > 1:
        place = groups.index(max(groups, key=len))
        groups[place : place + 1] = _cut(groups[place])
    while len(groups) + around > MOST:
        sizes = [sum(unit.n_layers for unit in group) for group in groups]
        pairs = [a + b for a, b in itertools.pairwise(sizes)]
        place = pairs.index(min(pairs))
        groups[place : place + 2] = [[*groups[place], *groups[place + 1]]]
    names = _names(groups, trunk)
    clash = "stem" in (names if stem else names[1:]) or "tail" in (names if tail else names[:-1])
    if None in names or clash:
        names = [f"stage{number}" for number in range(1, len(groups) + 1)]
    named = [("stem", stem), *zip(names, groups, strict=True), ("tail", tail)]
    return {str(stage): members for stage, members in named if members}


def _with_transitions(groups: list[list[Unit]]) -> list[list[Unit]]:
    """The same, with what only changes the resolution in the group behind it."""
    found: list[list[Unit]] = []
    waiting: list[Unit] = []
    for group in groups:
        if all(unit.n_layers <= 1 for unit in group):
            waiting += group
        else:
            found.append([*waiting, *group])
            waiting = []
    return found


def _cut(group: list[Unit]) -> list[list[Unit]]:
    """A group by its widths, if these are two to four, or else in quarters."""
    pieces = _runs(group, [unit.width for unit in group])
    if 1 < len(pieces) <= 4:
        return pieces
    units = {unit.name: unit for unit in group}
    return [[units[name] for name in names] for names in quarters([[n] for n in units]).values()]


def _names(groups: Sequence[_Units], trunk: _Units) -> list[str | None]:
    """The path that only a group's units have in common."""
    names = []
    for group in groups:
        others = [unit.name for unit in trunk if unit not in group]
        above = itertools.accumulate(group[0].name.split("."), "{}.{}".format)
        fitting = (
            path
            for path in above
            if all(is_inside(unit.name, path) for unit in group)
            and not any(is_inside(other, path) for other in others)
        )
        names.append(next(fitting, None))
    return names


def _resolutions(units: _Units) -> list[int | None]:
    """The resolution of each; one without, such as a side exit, has that of the one before."""
    found: list[int | None] = []
    for unit in units:
        before = found[-1] if found else None
        found.append(before if unit.resolution is None else unit.resolution)
    return found


def _runs(units: _Units, keys: Sequence[int | None]) -> list[list[Unit]]:
    """Units that follow each other and have one key."""
    keyed = itertools.groupby(zip(keys, units, strict=True), key=lambda pair: pair[0])
    return [[unit for _, unit in pairs] for _, pairs in keyed]
