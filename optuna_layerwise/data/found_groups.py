"""Columns of a table that look like groups: images of one patient, lesion or slide.

By the default of ``group_by`` the splits keep the groups of such a column together. The decision
is made on the splits themselves, since few groups may leave one without images or classes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna_layerwise.data.labels import MISSING, PERHAPS_MISSING
from optuna_layerwise.data.names import GROUP_RULE
from optuna_layerwise.data.notices import notice
from optuna_layerwise.data.raw import Part, RawData, cut
from optuna_layerwise.data.targets import strata

OWN = "group"
"""What a table calls groups if it follows docs/data.md; it goes before all others."""
_OWNERS = (
    "patient|subject|lesion|slide|person|participant|animal|donor|individual|specimen|biopsy|"
    "mouse|subj|pid|mrn"
)
_NAMED = "id|no|nr|num|number|code|name|uid|identifier|hash|key"
_SURE = re.compile(
    rf"(unique|anon|anonymi[sz]ed|pseudo|study)?({_OWNERS})s?({_NAMED})?|case(id|no|nr|number|uid)"
)
_PERHAPS = re.compile(
    "(id|group|site|scan|series|study|case|session|visit|video|sequence|scene|location|camera|"
    "hospital|cent(er|re)|batch|plate|family|exam|source)(id|no|nr|number|name|uid)?"
)
_IDS = re.compile(r".*([\W_](?i:id|uid)|[a-z](ID|Id|UID|Uid)|IDENTIFIER|[Ii]dentifier)", re.DOTALL)
"""Columns of ids of whatever kind, such as ``plant_id``; with few values they are of classes."""


def looks_like_groups(column: str) -> bool:
    """Whether a column's name says that it names groups, or may name some."""
    return _is_group(column) or bool(_IDS.fullmatch(column))


def without_blanks(cells: Sequence[str]) -> tuple[str, ...]:
    """The cells in lower case, those without a value made groups of one image."""
    blank = {*MISSING, *PERHAPS_MISSING, "unknown"}
    lower = (cell.casefold() for cell in cells)
    return tuple(f"\0{place}" if cell in blank else cell for place, cell in enumerate(lower))


def split(raw: RawData, *, group_rule: int = GROUP_RULE, **options: Any) -> dict[str, Part]:
    """Train, val and test as `cut` makes them, by the groups of the best column there is.

    Args:
        raw: Its parts have groups if the user named a column, and columns that look like groups
            if not.
        group_rule: ``GROUP_RULE``, or that of an earlier version.
        options: As of `cut`.
    """
    parts, said = cut(raw, **options)
    if not options.get("paper_split"):
        cells = {name: part.perhaps_groups for name, part in raw.parts.items()}
        several = {
            column: len(set(every))
            for column in next(iter(cells.values()))
            if 1 < len(set(every := _together(cells.values(), column))) < len(every)
            and (_is_group(column) or len(set(every)) > len(raw.classes))
        }
        sure = [column for column in several if group_rule > 1 and _is_sure(column)]
        sure.sort(key=lambda column: (column != OWN, several[column]))
        to_cut = not raw.parts.keys() >= {"train", "val", "test"}
        chosen = None
        for column in sure if to_cut else ():
            if found := _by_groups(raw, column, parts, options):
                chosen, (parts, said) = column, found
                break
            notice(
                f"the {several[column]} groups of the column {column!r} are too few, or too "
                "unequal, for splits that keep each in one: they are not used"
            )
        if chosen:
            others = [column for column in sure if column != chosen]
            notice(
                f"the images of a group stay in one split: the column {chosen!r} looks like "
                f"groups and has {several[chosen]}"
                + (f" (it was taken before {_listed(others)})" if others else "")
                + "; --group-by none (group_by=None) splits by image instead"
            )
        _tell_divided(parts, several, cuts=to_cut, new="" if group_rule > 1 else " new")
    for text in said:
        notice(text)
    return parts


def _by_groups(
    raw: RawData, column: str, by_image: Mapping[str, Part], options: Mapping[str, Any]
) -> tuple[dict[str, Part], list[str]] | None:
    """The splits by a column's groups; none if they lack images or classes."""
    grouped = {
        name: replace(part, groups=part.perhaps_groups[column]) for name, part in raw.parts.items()
    }
    try:
        parts, said = cut(replace(raw, parts=grouped), **options)
    except ValueError:
        return None
    for name, part in parts.items():
        classes, expected = (set(strata(each.labels).tolist()) for each in (part, by_image[name]))
        least = len(expected) if name == "train" else min(2, len(expected))
        if len(classes) < least or len(part) < len(by_image[name]) / 2:
            return None
    return parts, said


def _tell_divided(
    parts: Mapping[str, Part], columns: Collection[str], *, cuts: bool, new: str
) -> None:
    """One line on the columns whose groups are in several splits."""
    divided = {}
    for column in columns:
        splits: dict[str, set[str]] = {}
        for name, part in parts.items():
            for group in part.perhaps_groups[column]:
                splits.setdefault(group, set()).add(name)
        if len(splits) > 2 and (n := sum(len(ins) > 1 for ins in splits.values())):
            divided[column] = f"{n} of {len(splits)} of {column!r}"
    if divided:
        first = next(iter(divided))
        notice(
            f"groups of images that may belong together are in several splits: "
            f"{', '.join(divided.values())}. If they do, "
            + (
                f"a{new} study with --group-by {first} (group_by={first!r}) keeps each in one"
                if cuts
                else "correct the splits of the data: the results are too good otherwise"
            )
        )


def _together(parts: Iterable[Mapping[str, tuple[str, ...]]], column: str) -> tuple[str, ...]:
    return tuple(cell for cells in parts for cell in cells[column])


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns))


def _is_group(column: str) -> bool:
    return _is_sure(column) or bool(_PERHAPS.fullmatch(_plain(column)))


def _is_sure(column: str) -> bool:
    return column == OWN or bool(_SURE.fullmatch(_plain(column)))


def _plain(column: str) -> str:
    return re.sub(r"[\W_]", "", column).lower()
