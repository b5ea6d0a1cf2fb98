"""Fields of a recipe that a search may tune beside the layers: what each may become.

Where a search begins is the recipe's own value.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import get_args

from optuna.distributions import CategoricalDistribution, FloatDistribution

from optuna_layerwise.encodings.genes import Gene
from optuna_layerwise.recipe import (
    OPTIMIZERS,
    Augment,
    BatchNorm,
    ClassWeights,
    HeadStart,
    Recipe,
    Schedule,
)

_SPREAD = 0.25
"""Standard deviation of a number where a search begins, as a share of its range."""

TUNABLE: dict[str, CategoricalDistribution | FloatDistribution] = {
    "optimizer": CategoricalDistribution(tuple(OPTIMIZERS)),
    "weight_decay": CategoricalDistribution((0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)),
    "decay_norms_and_biases": CategoricalDistribution((True, False)),
    "momentum": FloatDistribution(0.0, 0.99),
    "schedule": CategoricalDistribution(get_args(Schedule)),
    "batch_size": CategoricalDistribution((8, 16, 32, 64)),
    "bn": CategoricalDistribution(get_args(BatchNorm)),
    "head_start": CategoricalDistribution(get_args(HeadStart)),
    "label_smoothing": FloatDistribution(0.0, 0.3),
    "class_weights": CategoricalDistribution(get_args(ClassWeights)),
    "augment": CategoricalDistribution(get_args(Augment)),
}
"""Field of `Recipe` to its values; a recipe's own is added where it is another.

Weight decay is a choice, since it may be 0, which no logarithmic range has. Left out are rates,
which encodings search, what decides how much a trial costs (epochs, patience, views), and what
decides what a value means (the metric).
"""


def tuned_genes(fields: Iterable[str], recipe: Recipe) -> dict[str, Gene]:
    """Genes for fields of a recipe, which begin at its own values.

    A choice that the recipe has is twice as likely at the start as each of the others.

    Raises:
        ValueError: if a field cannot be tuned, or not in this recipe; the message has those that
            can.

    Examples:
        >>> genes = tuned_genes(["label_smoothing", "class_weights"], Recipe())
        >>> genes["label_smoothing"].distribution, genes["label_smoothing"].start
        (FloatDistribution(high=0.3, log=False, low=0.0, step=None), (0.0, 0.25))
        >>> [round(probability, 3) for probability in genes["class_weights"].start]
        [0.667, 0.333]
    """
    genes = {}
    for field in fields:
        if field not in TUNABLE:
            near = difflib.get_close_matches(field, TUNABLE, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"cannot tune {field!r}; {hint}the fields of a recipe that can be tuned are "
                f"{', '.join(TUNABLE)}"
            )
        gene = _gene(TUNABLE[field], getattr(recipe, field))
        if isinstance(gene.distribution, CategoricalDistribution):
            for choice in gene.distribution.choices:
                recipe.changed({field: choice})  # or say why they do not fit together
        genes[field] = gene
    return genes


def _gene(distribution: CategoricalDistribution | FloatDistribution, own: float | str) -> Gene:
    if isinstance(distribution, FloatDistribution):
        low, high = min(distribution.low, float(own)), max(distribution.high, float(own))
        return Gene(FloatDistribution(low, high), (float(own), _SPREAD))
    choices = distribution.choices
    choices = choices if own in choices else (*choices, own)
    share = 1 / (len(choices) + 1)
    start = tuple(2 * share if choice == own else share for choice in choices)
    return Gene(CategoricalDistribution(choices), start)
