"""One line of a journal: a JSON object that says what was done, checked before it is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from typing import Any

from optuna.storages.journal._storage import JournalOperation as Op
from optuna.study import StudyDirection
from optuna.trial import TrialState

from optuna_layerwise.io.plain import DEEPEST, TOO_DEEP, decoded, is_too_deep, shortened

LONGEST = 2**28
"""Bytes of a line that is read."""
_BEGINNING = b'{"op_code"'
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


class DamagedJournalError(ValueError):
    """A journal has a line that Optuna did not write so; the message says which."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}; `optuna-layerwise doctor` says what can be done")


def damaged(path: str, line: int | None, why: str) -> DamagedJournalError:
    """The error about a line, or about the last one."""
    which = "the last line" if line is None else f"line {line}"
    doubt = " (is it a journal of Optuna?)" if line == 1 else ""
    return DamagedJournalError(f"{which} of the journal {path!r} cannot be used: {why}{doubt}")


class BadLineError(Exception):
    """A line is no record, or it cannot be said what it is about."""


class NewerLineError(BadLineError):
    """A line of a kind that this Optuna does not have yet."""


def record_of(line: bytes) -> tuple[dict[str, Any], str]:
    """What a line says, and what is wrong with it, if that concerns one study only.

    Raises:
        BadLineError: if it cannot be said which study it concerns.
    """
    content, fault = _content(line)
    if not isinstance(content, dict):
        raise BadLineError(f"it is no record: {shortened(content)}")
    if "op_code" not in content:
        raise BadLineError(f"it is no record, since it has no op_code: {shortened(content)}")
    op = content["op_code"]
    if type(op) is int and op > max(_FIELDS):
        raise NewerLineError(
            f"a newer Optuna has written it (its op_code is {op}): upgrade Optuna"
        )
    if type(op) is not int or op not in _FIELDS:
        raise BadLineError(f"its op_code {shortened(op)} is none that this Optuna knows")
    for name, (expected, accepts) in _FIELDS[op].items():
        value = content.get(name)
        if accepts(value) or (name not in content and name not in _SUBJECTS):
            continue
        said = f"its {name} must be {expected}, and is {shortened(value)}"
        if name in _SUBJECTS:
            raise BadLineError(said)
        fault = fault or said
    return content, fault


def is_begun(rest: bytes, *, first: bool) -> bool:
    """Whether the end of a file, without the end of a line, may be what is there of a record.

    Zeros are what a power cut leaves of what was written last.

    Args:
        rest: Behind the last whole line.
        first: There is no line before.
    """
    begun = rest.lstrip(b"\0")[: len(_BEGINNING)]
    return _BEGINNING.startswith(begun) if first else begun[:1] in (b"", b"{")


def fault_of(line: bytes) -> str:
    """What is wrong with a line, but for its end; empty if nothing."""
    if len(line) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    try:
        return record_of(line)[1]
    except BadLineError as error:
        return str(error)


def _content(line: bytes) -> tuple[Any, str]:
    if zeros := len(line) - len(line.lstrip(b"\0")):
        raise BadLineError(f"it begins with {zeros} zero bytes, as a power cut leaves them")
    if not line.strip():
        raise BadLineError("it is blank")
    fault = ""
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        fault = "it has bytes that are no UTF-8"
        text = line.decode("utf-8-sig", errors="replace")
    try:
        content = _parsed(text)
        if is_too_deep(text, content):
            raise RecursionError
    except (RecursionError, ValueError) as error:  # Python refuses numbers of so many digits
        digits = isinstance(error, ValueError)
        fault = "it has a number of too many digits" if digits else TOO_DEEP
        content = _parsed(_pruned(text), parse_int=lambda n: int(n) if len(n) < 20 else 0)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            fault = "it has half of a pair of surrogates, which is no text"
    return content, fault


def _parsed(text: str, **options: Any) -> Any:
    sizes = [0]

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        sizes.append(len(pairs))
        return dict(pairs)

    try:
        content = json.loads(text, object_pairs_hook=mapping, **options)
    except json.JSONDecodeError:
        raise BadLineError(f"it is no JSON: {shortened(text.rstrip())}") from None
    if isinstance(content, dict) and len(content) < sizes[-1]:
        raise BadLineError(f"it has a name twice: {shortened(text.rstrip())}")
    return content


def _pruned(text: str) -> str:
    """The text with null for all that lies too deep."""
    depth, start, kept = 0, 0, []
    for token in _TOKENS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept += [text[start : token.start()], "null"]
        elif token[0] in "]}":
            if depth == DEEPEST + 1:
                start = token.end()
            depth -= 1
    return "".join([*kept, text[start:]])


def _whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63


def _number(value: Any) -> bool:
    return type(value) is float or _whole(value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return False
    return True


@lru_cache(maxsize=1000)
def _decodes(text: str) -> bool:
    try:
        decoded(text)
    except ValueError:
        return False
    return True


def _mapping(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(accepts, value.values()))


def _or_none(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or accepts(value)


def _known(kind: type[IntEnum]) -> Callable[[Any], bool]:
    known = {int(one) for one in kind}
    return lambda value: type(value) is int and value in known


def _list_of(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(accepts, value))


_Field = tuple[str, Callable[[Any], bool]]
_ID: _Field = ("a whole number", lambda value: _whole(value) and value >= 0)
_NAME: _Field = ("a text", _text)
_NUMBER: _Field = ("a number", _number)
_NUMBERS: _Field = ("an object of numbers", _mapping(_number))
_VALUES: _Field = ("a list of numbers, or null", _or_none(_list_of(_number)))
_TIME: _Field = ("a time, or null", _or_none(_time))
_STATE: _Field = ("the number of a state", _known(TrialState))
_OBJECT: _Field = ("an object", _mapping(lambda value: True))
_ATTRIBUTE: _Field = ("an object of one", lambda value: _OBJECT[1](value) and len(value) == 1)
_DISTRIBUTION: _Field = ("JSON as a text", lambda value: _text(value) and _decodes(value))
_DIRECTIONS: _Field = ("a list of directions", _list_of(_known(StudyDirection)))
_OF_TRIAL = {"worker_id": _NAME, "trial_id": _ID}
_OF_STUDY = {"worker_id": _NAME, "study_id": _ID}
_FIELDS: dict[int, dict[str, _Field]] = {
    **{int(op): {} for op in Op},
    Op.CREATE_STUDY: {"worker_id": _NAME, "study_name": _NAME, "directions": _DIRECTIONS},
    Op.DELETE_STUDY: _OF_STUDY,
    Op.SET_STUDY_USER_ATTR: {**_OF_STUDY, "user_attr": _ATTRIBUTE},
    Op.SET_STUDY_SYSTEM_ATTR: {**_OF_STUDY, "system_attr": _ATTRIBUTE},
    Op.CREATE_TRIAL: {
        **_OF_STUDY,
        "datetime_start": _TIME,
        "datetime_complete": _TIME,
        "state": _STATE,
        "value": ("a number, or null", _or_none(_number)),
        "values": _VALUES,
        "params": _NUMBERS,
        "distributions": ("an object of JSON as texts", _mapping(_DISTRIBUTION[1])),
        "user_attrs": _OBJECT,
        "system_attrs": _OBJECT,
        "intermediate_values": _NUMBERS,
    },
    Op.SET_TRIAL_PARAM: {
        **_OF_TRIAL,
        "param_name": _NAME,
        "param_value_internal": _NUMBER,
        "distribution": _DISTRIBUTION,
    },
    Op.SET_TRIAL_STATE_VALUES: {
        **_OF_TRIAL,
        "state": _STATE,
        "values": _VALUES,
        "datetime_start": _TIME,
        "datetime_complete": _TIME,
    },
    Op.SET_TRIAL_INTERMEDIATE_VALUE: {
        **_OF_TRIAL,
        "step": ("a whole number", _whole),
        "intermediate_value": _NUMBER,
    },
    Op.SET_TRIAL_USER_ATTR: {**_OF_TRIAL, "user_attr": _ATTRIBUTE},
    Op.SET_TRIAL_SYSTEM_ATTR: {**_OF_TRIAL, "system_attr": _ATTRIBUTE},
}
"""What the fields of each operation must be, where they are there; Optuna misses the others."""
_SUBJECTS = ("study_id", "trial_id", "study_name")
"""Fields that say which study a record is about."""
