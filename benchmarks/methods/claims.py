"""What the papers claim of their methods, and we of ours, as paired differences on our cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean

from benchmarks.protocols import Cell
from benchmarks.protocols.arms import Arm
from benchmarks.protocols.comparison import compare
from benchmarks.protocols.findings import difference
from benchmarks.protocols.table import Record
from optuna_layerwise.analysis.statistics import Paired, holm
from optuna_layerwise.reporting.report_grid import Grid, probability

CLAIMS: dict[str, Sequence[tuple[str, str]]] = {
    "BioTune is more accurate than each published baseline": [
        ("biotune", other)
        for other in (
            *("full", "probe", "gradual-lf", "gradual-fl", "l1-sp", "l2-sp", "auto-rgn", "lora"),
        )
    ],
    "REVO-Tune is more accurate than fine-tuning and than other searches": [
        (own, other)
        for own in ("revo-binary", "revo-continuous")
        for other in ("full", "first", "probe", "auto-rgn", "set", "halving")
    ],
    "REVO-Tune's continuous encoding is more accurate than its binary one": [
        ("revo-continuous", "revo-binary")
    ],
    "Ours are more accurate than a tuned fine-tuning and a tuned probe": [
        (own, other) for own in ("default", "profile") for other in ("full", "probe")
    ],
    "Ours are more accurate than the papers'": [
        (own, other)
        for own in ("default", "profile")
        for other in ("biotune", "revo-binary", "revo-continuous")
    ],
}
"""Pairs of methods, of which the first is to be better."""


def claim_grids(found: Mapping[Cell, Record], arms: Mapping[str, Arm]) -> Iterator[Grid]:
    """One table a claim: over all blocks, and by share of the data if there are several."""
    fractions = sorted({cell.fraction for cell in found})
    fractions = fractions if len(fractions) > 1 else []
    header = (
        *("the first less the second", "all", *(f"{f:.0%} of the data" for f in fractions)),
        *("wins/ties/losses", "p (Holm)"),
    )
    for claim, all_pairs in CLAIMS.items():
        pairs = [pair for pair in all_pairs if set(pair) <= set(arms)]
        over_all = [over(found, *pair) for pair in pairs]
        rows = [
            [
                f"{arms[own].title} – {arms[other].title}",
                difference(whole),
                *(
                    difference(
                        over({c: r for c, r in found.items() if c.fraction == f}, own, other)
                    )
                    for f in fractions
                ),
                f"{whole.wins}/{whole.ties}/{whole.losses}",
                probability(p),
            ]
            for (own, other), whole, p in zip(
                pairs, over_all, holm([pair.p for pair in over_all]), strict=True
            )
        ]
        yield Grid(claim, header, rows)


def over(found: Mapping[Cell, Record], own: str, other: str) -> Paired:
    """Test results of two methods, paired over the blocks.

    Raises:
        ValueError: if they have none in common.
    """
    both = {cell: record for cell, record in found.items() if cell.arm in (own, other)}
    for standing in compare(both, reference=other).standings:
        if standing.difference is not None:
            return standing.difference
    raise ValueError(f"no block has both {own!r} and {other!r}")


def share_grid(found: Mapping[Cell, Record], arms: Mapping[str, Arm]) -> Grid:
    """What the chosen policies train, the least first."""
    fractions = sorted({cell.fraction for cell in found})
    shares = {
        (arm, fraction): [
            100 * record["chosen"]["trained_share"]
            for cell, record in found.items()
            if (cell.arm, cell.fraction) == (arm, fraction)
        ]
        for arm in arms
        for fraction in fractions
    }
    rows = [
        [arms[arm].title, *(f"{mean(shares[arm, fraction]):.0f}" for fraction in fractions)]
        for arm in sorted(arms, key=lambda arm: mean(shares[arm, fractions[0]]))
    ]
    return Grid("", ["trained parameters, %", *(f"{f:.0%} of the data" for f in fractions)], rows)


def more_work_grid(
    short: Mapping[Cell, Record], long: Mapping[Cell, Record], arms: Mapping[str, Arm]
) -> Grid:
    """The same methods with less work and with more, on the blocks that both have."""
    blocks = {cell.block for cell in short} & {cell.block for cell in long}
    rows = []
    for name, arm in arms.items() if blocks else ():
        both = {
            dataclasses.replace(cell, arm=label): record
            for label, found in (("less", short), ("more", long))
            for cell, record in found.items()
            if cell.arm == name and cell.block in blocks
        }
        by_label = {s.arm: s for s in compare(both, reference="less").standings}
        less, more = by_label["less"], by_label["more"]
        assert more.difference is not None
        rows.append(
            [
                arm.title,
                f"{less.trials:.0f} → {more.trials:.0f}",
                f"{less.test.mean:.1f} → {more.test.mean:.1f}",
                difference(more.difference),
                f"{more.difference.wins}/{more.difference.ties}/{more.difference.losses}",
                f"{less.optimism.mean:+.1f} → {more.optimism.mean:+.1f}",
            ]
        )
    header = (
        *("method", "trials", "test, %", "difference", "wins/ties/losses"),
        "best validation of the search - test",
    )
    return Grid("", header, rows)
