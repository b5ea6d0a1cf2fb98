"""Policies of trials that only have parameters: those of an encoding in a loop of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial

from optuna_layerwise.encodings import ENCODINGS, Encoding, Head

_PREFIXES = ("lr/", "lr_set/", "imp/", "train/")


def block_of(parameter: str) -> str | None:
    """The block that a parameter belongs to; ``None`` if it belongs to all of them."""
    for prefix in _PREFIXES:
        if parameter.startswith(prefix) and not parameter.endswith("/__threshold__"):
            return parameter.removeprefix(prefix)
    return None


def policies_from_parameters(
    trials: Sequence[FrozenTrial],
) -> tuple[dict[int, Mapping[str, float]], float | None]:
    """By trial number the policies, and the learning rate that they hold multipliers of.

    That is 1 for an encoding that searches learning rates, and not known for the others. Trials
    whose parameters are not those of one of `ENCODINGS` are left out.
    """
    found: dict[int, Mapping[str, float]] = {}
    encodings: dict[tuple[str, ...], Encoding | None] = {}
    lr = None
    for trial in trials:
        names = tuple(trial.params)
        if names not in encodings:
            encodings[names] = _encoding(trial)
        encoding = encodings[names]
        if encoding is None:
            continue
        try:
            found[trial.number] = encoding.decode(trial.params)
        except (ArithmeticError, TypeError, ValueError):  # other values under the same names
            continue
        lr = 1.0 if encoding.rate.absolute else None
    return found, lr


def _encoding(trial: FrozenTrial) -> Encoding | None:
    """The one that explains most parameters; of equals, that with the same distributions.

    A head that is always trained has no bit, so its name is not known.
    """
    found: list[tuple[tuple[int, int], Encoding]] = []
    seen = list(dict.fromkeys(block for block in map(block_of, trial.params) if block))
    candidates: list[tuple[Head, list[str]]] = [("always", seen), ("search", seen)]
    if "head" not in seen:
        candidates.insert(1, ("always", [*seen, "head"]))
    for preset in ENCODINGS:
        for head, blocks in candidates:
            if len(blocks) < 2:
                continue
            encoding = Encoding.preset(preset, blocks, head=head, lr=1.0)
            space = encoding.search_space
            if set(space) <= set(trial.params):
                same = sum(trial.distributions[name] == d for name, d in space.items())
                found.append(((len(space), same), encoding))
    return max(found, key=lambda scored: scored[0])[1] if found else None
