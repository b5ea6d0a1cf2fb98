"""Fields of a dataclass that say of themselves what people are told and may type.

A field is declared once, by the function that `panel` makes. The options of a command, their
help, the command that repeats a study and the checks of values follow from it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import reduce
from typing import Any, Literal, Protocol, TypeVar, cast, get_args, get_origin, get_type_hints

from optuna_layerwise.io.plain import one_of, within

T = TypeVar("T")
PANELS = ("Study", "Data", "Network", "Search", "Training", "Result", "Machine")
"""Titles of the groups of options in ``--help``, in their order."""
_KEY = "setting"
_NUMBERS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    bool: ("true or false", lambda text: {"true": True, "false": False}[text.lower()]),
    int: ("a whole number", int),
    float: ("a number", float),
}
"""Type of a setting that is not a text: its name in messages, and how it is read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One field as people see it.

    Args:
        panel: The title, of `PANELS`, under which its option is listed.
        help: What it sets, as a sentence.
        option: What is typed; if empty, it follows from the name of the field.
        default: Words for a default that depends on other settings; a constant needs none.
        within: The least and the largest value; what lies between may still be too much.
        choices: The names that it may have; a ``Literal`` lists them itself.
        none: What is typed for ``None``.
        place: Makes what is typed an absolute path, where it is a path; a second argument is the
            folder that it is relative to, by default the present one.
        may_change: Whether a study that exists may go on with another value; paths always may.
        repeats: Whether a study is the same one only with this value.
        path: Attributes that lead to the value from the dataclass that was asked.
        kind: The type of its values other than ``None``.
        value: The constant that is its default.
    """

    panel: str
    help: str
    option: str = ""
    default: str | None = None
    within: tuple[float, float] | None = None
    choices: Collection[str] = ()
    none: str | None = None
    place: Callable[..., str] | None = None
    may_change: bool = False
    repeats: bool = True
    path: tuple[str, ...] = ()
    kind: Any = str
    value: Any = None

    def of(self, holder: object) -> Any:
        """Its value in an instance of the dataclass that was asked for it."""
        return reduce(getattr, self.path, holder)

    def check(self, value: Any) -> None:
        """Refuse a value that it cannot have.

        Raises:
            ValueError: if it is out of the range, or not among the choices.
        """
        if value is not None and self.within is not None:
            within(self.path[-1], value, *self.within)
        if value is not None and self.choices:
            for each in value if isinstance(value, tuple) else (value,):
                one_of(self.path[-1], each, self.choices)

    @property
    def typed(self) -> Any:
        """The type of what is typed; a list where the option may be repeated."""
        if self.number is not None:
            return str if self.none is not None and not self.none.isdigit() else self.number
        if get_origin(self.kind) is Mapping or get_args(self.kind) == (str, ...):
            return list[str]
        return str

    @property
    def number(self) -> type | None:
        """The kind of number, or truth value, that is typed; ``None`` where text is."""
        kind = int if get_args(self.kind) == (int, ...) else self.kind
        return kind if kind in _NUMBERS else None

    def read(self, typed: Any) -> Any:
        """The value that was typed, a number also as text; of several integers it is their number.

        Raises:
            ValueError: if it is none.
        """
        if self.none is not None and str(typed) == self.none:
            return None
        value = typed
        if self.number is not None and isinstance(typed, str):
            value = self._number_in(typed)
        elif get_origin(self.kind) is Mapping:
            value = assignments(self.option, typed)
            if get_args(self.kind)[1] is str:
                value = {name: str(each) for name, each in value.items()}
        elif get_args(self.kind) == (float, float, float):
            value = channels(self.option, typed)
        elif self.place is not None and not isinstance(typed, str):
            value = tuple(map(self.place, typed))
        elif get_args(self.kind) == (str, ...):
            value = tuple(each.strip() for text in typed for each in text.split(","))
        elif self.place is not None and typed:
            value = self.place(typed)
        self.check(value)
        return value

    def _number_in(self, text: str) -> Any:
        assert self.number is not None
        expected, made = _NUMBERS[self.number]
        try:
            return made(text)
        except (ValueError, KeyError):
            expected += f" or {self.none}" if self.none is not None else ""
            raise ValueError(f"{self.option} must be {expected}, got {text!r}") from None

    def words(self, value: Any) -> list[list[str]]:
        """The words to type for a value, one list for each time that the option is given."""
        if value is None:
            return [] if self.none is None else [[self.option, self.none]]
        if self.kind is bool:
            return [[self.option if value else f"--no-{self.option[2:]}"]]
        texts: Iterable[str] = [str(value)]
        if get_origin(self.kind) is Mapping:
            texts = [
                f"{name}={each if isinstance(each, str) else json.dumps(each)}"
                for name, each in value.items()
            ]
        elif get_args(self.kind) == (str, ...):
            texts = value
        elif get_args(self.kind) == (int, ...):
            texts = [str(len(value))]
        elif get_origin(self.kind) is tuple:
            texts = [",".join(map(str, value))]
        return [
            [f"{self.option}={text}"] if text.startswith("-") else [self.option, text]
            for text in texts
        ]


class Declare(Protocol):
    """Makes a field with a default that people may set; ``more`` is for `Setting`."""

    def __call__(self, value: T, help: str, **more: Any) -> T:
        """The field; type checkers see its default."""


def panel(title: str, **common: Any) -> Declare:
    """What declares the fields whose options are listed under a title, one of `PANELS`."""

    def setting(value: T, help: str, **more: Any) -> T:
        told = Setting(panel=title, help=help, value=value, **common, **more)
        default: dict[str, Any] = {"default": value} if value != {} else {"default_factory": dict}
        return cast(T, dataclasses.field(**default, metadata={_KEY: told}))

    return setting


def settings_of(holder: type) -> dict[str, Setting]:
    """Name to `Setting` of a dataclass's fields, and of those of the dataclasses in it."""
    found: dict[str, Setting] = {}
    hints = get_type_hints(holder)
    for field in dataclasses.fields(holder):
        kinds = [each for each in get_args(hints[field.name]) if each is not type(None)]
        optional = len(kinds) < len(get_args(hints[field.name]))
        kind = kinds[0] if optional else hints[field.name]
        if _KEY in field.metadata:
            told: Setting = field.metadata[_KEY]
            found[field.name] = dataclasses.replace(
                told,
                option=told.option or f"--{field.name.replace('_', '-')}",
                choices=get_args(kind) if get_origin(kind) is Literal else told.choices,
                may_change=told.may_change or told.place is not None,
                path=(field.name,),
                kind=kind,
            )
        elif not optional and dataclasses.is_dataclass(kind):
            for name, told in settings_of(cast(type, kind)).items():
                found[name] = dataclasses.replace(told, path=(field.name, *told.path))
    return found


def channels(option: str, text: str) -> tuple[float, float, float]:
    """One number for all channels, or three with commas.

    Raises:
        ValueError: for anything else.
    """
    try:
        values = [float(part) for part in text.split(",")]
        red, green, blue = values * 3 if len(values) == 1 else values
    except ValueError as error:
        raise ValueError(
            f"{option} must be one number or three with commas, got {text!r}"
        ) from error
    return red, green, blue


def assignments(option: str, texts: Iterable[str] | None) -> dict[str, Any]:
    """The pairs that an option that may be repeated was given as ``name=value``."""
    return dict(assignment(option, text) for text in texts or ())


def assignment(what: str, text: str) -> tuple[str, Any]:
    """A pair ``name=value``; the value is JSON where it can be, else text.

    Raises:
        ValueError: for anything else.
    """
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ValueError(f"{what} must be name=value, got {text!r}")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value
