"""Texts: a table with a row per text, what turns them into tokens, and the splits of both."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.decode import Decoding
from optuna_layerwise.data.examples import Arrays, Splits
from optuna_layerwise.data.found_groups import OWN, looks_like_groups
from optuna_layerwise.data.names import GROUP_RULE
from optuna_layerwise.data.notices import kept_notices, notice
from optuna_layerwise.data.prepare import Inputs, prepared
from optuna_layerwise.data.raw import Part, RawData
from optuna_layerwise.data.rows import read_rows
from optuna_layerwise.data.table import rows_as_data, target_columns
from optuna_layerwise.recipe import TaskName

Text: TypeAlias = "str | tuple[str, str]"
"""A text, or a pair of texts."""
COLUMNS = ("text", "pair", "label", "split")
PADDING = -1
"""What fills a row of tokens up to the length of the longest; no tokenizer has such a token."""


@dataclass(frozen=True)
class Tokenizing:
    """How texts become tokens.

    Args:
        tokenizer: The JSON of a tokenizer of the package tokenizers.
        max_tokens: Longer texts are cut to this number of tokens.
    """

    tokenizer: str
    max_tokens: int

    @cached_property
    def _encoder(self) -> Any:
        from tokenizers import Tokenizer

        encoder = Tokenizer.from_str(self.tokenizer)
        encoder.no_padding()
        encoder.enable_truncation(self.max_tokens)
        return encoder

    @property
    def digest(self) -> str:
        """SHA-256 of the tokenizer."""
        return hashlib.sha256(self.tokenizer.encode()).hexdigest()

    def __call__(self, texts: Sequence[tuple[str, ...]]) -> tuple[NDArray[np.int64], list[int]]:
        """Tokens of some texts, or pairs of texts, and the places of those that were cut.

        Returns:
            int64 [n, longest], filled up with `PADDING`; of pairs [n, 2, longest], the tokens and
            which of the two texts each is of. And the indices of the texts that were too long.
        """
        pairs = bool(texts) and len(texts[0]) == 2
        encoded = self._encoder.encode_batch([t if pairs else t[0] for t in texts])
        longest = max((len(each.ids) for each in encoded), default=1)
        tokens = np.full((len(texts), 2, max(longest, 1)), PADDING, np.int64)
        for row, each in zip(tokens, encoded, strict=True):
            row[0, : len(each.ids)], row[1, : len(each.ids)] = each.ids, each.type_ids
        cut = [index for index, each in enumerate(encoded) if each.overflowing]
        return tokens if pairs else tokens[:, 0], cut


@dataclass(frozen=True, eq=False)
class Texts(Arrays):
    """Labelled texts as rows of tokens, int64 [N, length]; see `Tokenizing`."""

    noun: ClassVar[str] = "texts"

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, [N]."""
        return _lengths(self.batch())

    def shown(self, n: int) -> NDArray[np.int64]:
        """The longest ones."""
        return self.batch(np.argsort(-self.lengths, kind="stable")[np.arange(n) % len(self)])

    def typical(self) -> NDArray[np.int64]:
        """One of median length."""
        return self.batch(np.argsort(self.lengths, kind="stable")[[len(self) // 2]])

    @classmethod
    def order(cls, inputs: NDArray[Any]) -> NDArray[np.int64]:
        """By length, so that a pass over a split fills up little."""
        return np.argsort(_lengths(inputs), kind="stable")


def _lengths(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    there = (tokens if tokens.ndim == 2 else tokens[:, 0]) != PADDING
    lengths: NDArray[np.int64] = there.sum(axis=1)
    return lengths


class TextReader:
    """Turns texts into tokens; see `Reader`.

    Args:
        tokenizing: How.
    """

    makes = Texts
    skip_bad = False

    def __init__(self, tokenizing: Tokenizing) -> None:
        self._tokenizing = tokenizing
        self.decoding: Decoding | Tokenizing | None = tokenizing

    def parameters(self, parts: Iterable[Part]) -> Mapping[str, Any]:
        """See `Reader`."""
        return {
            "tokenizer": self._tokenizing.digest,
            "max_tokens": self._tokenizing.max_tokens,
        }

    def read(self, parts: Mapping[str, Part], key: str) -> Mapping[str, Inputs]:
        """See `Reader`."""
        every = [item for part in parts.values() for item in part.items]
        tokens, cut = self._tokenizing(every)  # together: all splits have one length
        ends = np.cumsum([len(part) for part in parts.values()])
        read = dict(zip(parts, np.split(tokens, ends[:-1]), strict=True))
        names = [name for part in parts.values() for name in part.names]
        long = [names[index] for index in cut]
        if long:
            notice(
                f"{len(long)} of {len(every)} texts have more than {self._tokenizing.max_tokens} "
                f"tokens, and only their beginning is read: {', '.join(long[:3])}"
                f"{', ...' if len(long) > 3 else ''}"
            )
        return {name: (inputs, {}) for name, inputs in read.items()}


def load_texts(
    source: str | os.PathLike[str],
    tokenizing: Tokenizing,
    *,
    columns: Mapping[str, str] | None = None,
    task: TaskName = "classification",
    group_by: str | None = "auto",
    group_rule: int = GROUP_RULE,
    val: float = 0.2,
    test: float = 0.2,
    split_seed: int = 0,
    train_fraction: float = 1.0,
) -> Splits:
    """Load a table of labelled texts, split it, and turn the texts into tokens.

    Args:
        source: A ``.csv`` (or ``.tsv``) file with a row per text, and the columns ``text`` and
            ``label``. With a column ``split``, the splits are its own.
        tokenizing: How texts become tokens; `ModelSpec.tokenizer` has that of a network.
        columns: What the table calls ``text``, ``label`` and ``split``. With ``pair``, a second
            column of texts, each row is a pair of texts.
        task: See `load_data`.
        group_by: See `load_data`.
        group_rule: See `load_data`.
        val: Share of the validation split; see `load_data`.
        test: Share of the test split; see `load_data`.
        split_seed: Seed of the stratified splits.
        train_fraction: See `load_data`.

    Raises:
        FileNotFoundError: if there is no such table.
        ValueError: with the line, if the table is not as expected, or a text is empty.
    """
    path = Path(source).expanduser()
    if not path.is_file() or path.suffix.lower() not in (".csv", ".tsv"):
        raise FileNotFoundError(
            f"expected a .csv or .tsv file with a row per text, and the columns text and label, "
            f"at {path}"
        )
    with kept_notices() as said_of_source:
        raw = _read(path, columns, group_by, group_rule, task)
    return prepared(
        raw,
        TextReader(tokenizing),
        os.fspath(source),
        val=val,
        test=test,
        split_seed=split_seed,
        notices=said_of_source,
        places=[source],
        group_rule=group_rule,
        train_fraction=train_fraction,
    )


def _read(
    path: Path,
    columns: Mapping[str, str] | None,
    group_by: str | None,
    group_rule: int,
    task: str,
) -> RawData:
    named = dict(columns or {})
    if unknown := sorted(named.keys() - set(COLUMNS)):
        raise ValueError(f"columns of texts can name {', '.join(COLUMNS)}, got {unknown}")
    auto = group_by == "auto"
    group = (OWN if group_rule == 1 else None) if auto else group_by
    optional = ({"group"} if auto else set()) | (set() if "split" in named else {"split"})
    fields = {name: named.get(name, name) for name in ("text", "label", "split")}
    targets = target_columns(task, fields)
    rows = read_rows(
        path, {**fields, "group": group}, optional=optional, item="text", targets=targets
    )
    pair = named.get("pair")
    if pair is not None and pair not in rows[0].cells:
        raise ValueError(f"{path} has no column {pair!r} for the pair; it has {[*rows[0].cells]}")
    if pair is not None and (empty := [row for row in rows if not row.cells[pair]]):
        raise ValueError(f"{path}, line {empty[0].line}: the cell of {pair!r} is empty")
    items = [(row.item,) if pair is None else (row.item, row.cells[pair]) for row in rows]
    taken = {group, pair, *fields.values(), *targets}
    perhaps = [name for name in rows[0].cells if name not in taken and looks_like_groups(name)]
    names = [f"line {row.line}" for row in rows]
    return rows_as_data(
        *(path, rows, items, names, group or "", perhaps if auto else ()),
        task=task,
        targets=targets,
    )
