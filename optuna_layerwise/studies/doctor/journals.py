"""Lines of a journal that nobody can use, looked for before any study is opened."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from optuna_layerwise.storage import JournalDamage, WrongLine, examine_journal, repair_journal
from optuna_layerwise.studies.doctor.finding import Finding


def wrong_lines(path: str) -> Iterator[Finding]:
    """Those that sound lines follow, each, and those at the end, together.

    A line inside that makes one study unreadable is found with that study.
    """
    damage = examine_journal(path)
    if damage is None:
        return
    ends = [line for line in damage.inside if line.kind in ("ends", "newer")]
    for line in damage.inside:
        if line.kind == "stray":
            problem = f"{_said(line)}; it is passed over"
            remedy = "lines before it may be lost: compare the studies with a backup"
            yield Finding("error", problem, remedy)
    if ends and not damage.sound:
        problem = f"this is no journal of Optuna: {_said(ends[0])}"
        yield Finding("error", problem, "give --storage the path of one; nothing was written")
        return
    for line in ends:
        remedy = "sound lines follow, so nothing is cut off: restore the file from a backup"
        if line.kind == "newer":
            remedy = "nothing is cut off"
        yield Finding("error", _said(line), remedy)
    if damage.tail:
        yield _tail(damage, path, can_be_cut=not ends)


def _tail(damage: JournalDamage, path: str, *, can_be_cut: bool) -> Finding:
    lines, size = damage.cut
    first = damage.tail[0]
    more = f" and {lines - 1} lines after it" if lines > 1 else ""
    problem = f"{_said(first)}{more}; nothing sound follows"
    lost = list(dict.fromkeys(line.about for line in damage.tail if line.about))
    lost_words = f", which said: {'; '.join(lost)}" if lost else ""
    end = f"the last {size} bytes{lost_words}"
    if not can_be_cut:
        return Finding("error", problem, "nothing is cut off while there are wrong lines before")
    if all(line.kind == "torn" for line in damage.tail):
        remedy = f"--repair cuts off {end}, after a copy, as the next worker does without one"
        return Finding("warning", problem, remedy, repair=partial(repair_journal, path))
    remedy = f"--repair cuts off {end}, after it has made a copy"
    return Finding("error", problem, remedy, repair=partial(repair_journal, path))


def _said(line: WrongLine) -> str:
    of = f" (to {line.about})" if line.about else ""
    return f"line {line.number} of the journal cannot be used{of}: {line.what}"
