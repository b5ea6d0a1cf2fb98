"""CatCMA with margin: numbers, levels and categories in one distribution, for any search space.

CatCMAwM (Hamano et al. 2025, https://arxiv.org/abs/2504.07884) samples a cohort of trials from a
joint distribution and moves it to the better ones. REVO-Tune searches layer-wise learning rates
with its predecessor, 10 trials a generation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from optuna_layerwise.io.plain import plain
from optuna_layerwise.samplers._algorithm import (
    Draw,
    Encoding,
    Genes,
    Mask,
    Member,
    Rng,
    Space,
    check_flag,
    check_whole,
    name_with_options,
    preset_with,
)
from optuna_layerwise.samplers._catcmawm_layout import Layout, lay_out
from optuna_layerwise.samplers._catcmawm_model import Model
from optuna_layerwise.samplers._catcmawm_start import Start
from optuna_layerwise.samplers._cohort import CohortSampler
from optuna_layerwise.samplers._options import check_encoding, checked_space, named
from optuna_layerwise.samplers._replay import make_space
from optuna_layerwise.samplers._rng import TrialRng
from optuna_layerwise.samplers._screening import Screen
from optuna_layerwise.samplers._warm_start import Params, best_params
from optuna_layerwise.storage import store_start, stored_start

_ATTEMPTS = 100
_HUGE = 1e6


@dataclasses.dataclass(frozen=True)
class State:
    """What is known before a cohort; ``model`` is ``None`` while there is no gene."""

    space: Space
    layout: Layout
    model: Model | None
    restarts: int = 0
    screen: Screen | None = None


@dataclasses.dataclass(frozen=True)
class CatCMA:
    """The pure algorithm; `CatCMAwMSampler` describes the options."""

    population: int = 10
    covariance: Literal["full", "diagonal"] = "full"
    begin: Start = Start()
    surrogate: bool = False

    def __post_init__(self) -> None:
        check_whole("population", self.population, least=4)
        check_flag("surrogate", self.surrogate)
        if self.covariance not in ("full", "diagonal"):
            raise ValueError(f"covariance must be 'full' or 'diagonal', got {self.covariance!r}")

    @cached_property
    def name(self) -> str:
        """With the options: trials drawn under others are of other distributions."""
        return name_with_options("catcmawm/1", dataclasses.astuple(self))

    def cohort_size(self, cohort: int) -> int:
        """The population."""
        return self.population

    def generation(self, cohort: int) -> int:
        """One a cohort."""
        return cohort

    def start(self, space: Space) -> State:
        """The first distribution."""
        layout = lay_out(space)
        mean, cov = self.begin.gaussian(space, layout)
        model = self._model(space, layout, mean, cov) if space.names else None
        screen = Screen(space, layout) if self.surrogate else None
        return State(space, layout, model, screen=screen)

    def _model(self, space: Space, layout: Layout, mean: Genes, cov: Genes) -> Model:
        return Model(
            levels=[space.grid[k] for k in layout.numbers],
            choices=[len(values) for values in layout.values],
            population=self.population,
            mean=mean,
            cov=cov,
            probabilities=self.begin.categories(space, layout),
            diagonal=self.covariance == "diagonal",
        )

    def ask(self, state: State, cohort: int, index: int, rng: Rng) -> Draw:
        """A draw from the distribution; after 100 that are not valid, the last."""
        if state.model is None:
            return Draw(np.empty(0), {"raw": {}})
        if state.screen and state.screen.surrogate:
            return state.screen.draw(state.model, index, rng)
        space, layout, genes = state.space, state.layout, np.empty(len(state.space.names))
        for attempt in range(_ATTEMPTS):
            words = rng(f"draw/{attempt}").integers(2**32, size=4, dtype=np.uint32)
            raw, executed, chosen = state.model.draw(words)
            genes[layout.numbers] = executed
            genes[layout.choices] = [v[c] for v, c in zip(layout.values, chosen, strict=True)]
            if space.valid(genes):
                break
        return Draw(genes, {"raw": dict(zip(layout.names, raw.tolist(), strict=True))})

    def tell(self, state: State, cohort: int, members: Sequence[Member]) -> State:
        """The state after a cohort; one that says nothing about its points leaves it as it is.

        Members are told by rank. The missing ones have no point, and rank last.
        """
        if state.model is None:
            return state
        known = [m for m in members if not np.isnan(m.genes).all()]
        ranked = sorted(known, key=lambda m: m.order)[: self.population]
        tied = len({member.merit for member in ranked}) < 2
        model = state.model
        if not tied:
            model = model.learn(*self._points(state, ranked))
        if state.screen:
            state = dataclasses.replace(state, screen=state.screen.tell(members))
        if not model.is_spent(tied=tied):
            return dataclasses.replace(state, model=model)
        return self._restart(state)

    def _points(
        self, state: State, ranked: Sequence[Member]
    ) -> tuple[Genes, Mask, npt.NDArray[np.intp]]:
        """Numbers, which of them had an effect, and choices, of a whole population."""
        assert state.model is not None
        space, layout = state.space, state.layout
        numbers, shape = layout.numbers, (self.population, len(space.names))
        mean, used = np.full(shape[1], 0.5), np.zeros(shape, dtype=bool)
        mean[numbers] = state.model.mean
        points = np.tile(mean, (self.population, 1))
        inside = np.clip(mean, 0, 1)
        for point, row, member in zip(points, used, ranked, strict=False):
            genes = np.where(np.isnan(member.genes), inside, member.genes)
            row[:] = ~np.isnan(member.genes) & (space.active(genes) | layout.self_gated)
            point[row] = genes[row]
            raw = self._raw(space, member)
            drawn = ~np.isnan(raw)
            executed = space.executed(np.where(drawn, np.clip(raw, 0, 1), genes))
            drawn &= ~row | (np.abs(executed - genes) < 1e-9)
            point[drawn] = raw[drawn]
        continuous = numbers[: layout.n_continuous]
        inside_box = np.clip(points[:, continuous], 0, 1)  # no penalty for what has no effect
        points[:, continuous] = np.where(used[:, continuous], points[:, continuous], inside_box)
        chosen = np.full((self.population, len(layout.choices)), -1)
        for j, (k, values) in enumerate(zip(layout.choices, layout.values, strict=True)):
            nearest = np.abs(points[:, k, None] - values).argmin(axis=1)
            chosen[:, j] = np.where(used[:, k], nearest, -1)
        return points[:, numbers], used[:, numbers], chosen

    def _raw(self, space: Space, member: Member) -> Genes:
        """The raw numbers that were drawn [n], NaN for others, and for what cannot be one."""
        raw = (member.facts or {}).get("raw")
        drawn = [raw.get(name) if isinstance(raw, dict) else None for name in space.names]
        return np.array([v if isinstance(v, float) and abs(v) < _HUGE else np.nan for v in drawn])

    def _restart(self, state: State) -> State:
        """A fresh distribution elsewhere; where depends on nothing but how often."""
        space, layout, restarts = state.space, state.layout, state.restarts + 1
        low, high = layout.ends
        share = np.random.Generator(np.random.Philox(key=restarts)).uniform(0.1, 0.9, len(low))
        cov = np.diag(self.begin.std(space, layout) ** 2)
        model = self._model(space, layout, low + share * (high - low), cov)
        return dataclasses.replace(state, model=model, restarts=restarts)


PRESETS = {
    "default": CatCMA(surrogate=True),
    "paper": CatCMA(begin=Start(spread=1 / 12, level_spread=1 / 10)),
}


class CatCMAwMSampler(CohortSampler):
    """CatCMA with margin as an Optuna sampler, for layer genes or any other parameters.

    Draws depend only on the seed and the finished trials of the study, so an interrupted study
    continues as if it had not been. Works with any number of processes; a population
    above their number keeps parallel search from favouring quick trials. Parameters that
    have no effect in a trial, or that it does not ask for, neither mislead nor drift. A
    distribution with nothing left to find starts again elsewhere. With two or three objectives,
    trials are ranked by fronts and by the hypervolume that each adds to its front.

    Args:
        seed: Of the study; the seed of its first trial wins.
        encoding: What the parameters mean, such as `optuna_layerwise.encodings.Encoding`; gives
            the search space and where the search begins.
        search_space: Parameter name to distribution; default the encoding's, and all other
            parameters seen in earlier trials.
        preset: ``paper`` is REVO-Tune's: a population of 10 that begins at the centre, with a
            deviation of 1/12 of each range (of whole numbers 1/10, as in cmaes) and all choices
            alike, whatever the encoding says.
        population: Trials per generation, at least 4; 10 with an encoding or an unknown search
            space, else 4 + floor(3 ln n) for n parameters.
        covariance: ``diagonal`` learns no correlations, but deviations faster.
        surrogate: Let a Gaussian process over the trials choose among draws, from the 21st trial
            on, with more than 10 parameters from twice their number; on by default, off in
            ``paper``, and with several objectives.
        mean: Parameter name to the value where the search begins; default the encoding's, then
            the centre.
        spread: Standard deviation where the search begins as a share of the range, of each
            parameter or by name; at most 0.5; default the encoding's, then 1/6.
        probabilities: Name of a categorical parameter to the probability of each choice where
            the search begins; default the encoding's, then all alike. Of an unknown search space
            the first generation's parameters are drawn one by one: uniformly, if no option says
            where the search begins.
        init_from: Another study: begin where the best tenth of its finished trials was, for the
            parameters that both have. They are stored with this study, which needs the other no
            more: a sampler without the option continues it.
        seed_with: Parameters of the first trials, such as ``encoding.recipes()``; they count as
            what they are, and do not change where the search begins. Trials are counted from 0:
            in a study that has some already, the first of these have no effect.

    Raises:
        ValueError: for an option out of range, or a study with more than three objectives.

    Examples:
        >>> import optuna
        >>> study = optuna.create_study(sampler=CatCMAwMSampler(seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=60)
        >>> study.best_value < 0.01
        True
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        encoding: Encoding | None = None,
        search_space: Mapping[str, BaseDistribution] | None = None,
        preset: Literal["default", "paper"] = "default",
        population: int | None = None,
        covariance: Literal["full", "diagonal"] | None = None,
        surrogate: bool | None = None,
        mean: Mapping[str, Any] | None = None,
        spread: float | Mapping[str, float] | None = None,
        probabilities: Mapping[str, Sequence[float]] | None = None,
        init_from: Study | None = None,
        seed_with: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        check_encoding(encoding)
        search_space, spread = checked_space(search_space), plain(spread)
        if init_from is not None and not isinstance(init_from, Study):
            raise ValueError(f"init_from must be a study, as Optuna loads it, got {init_from!r}")
        if population is None and preset == "default" and search_space and not encoding:
            population = library_population(search_space)
        options: dict[str, Any] = {
            "population": population,
            "covariance": covariance,
            "surrogate": surrogate,
        }
        self._given = preset_with(PRESETS, preset, options)
        if spread is not None and not isinstance(spread, Mapping):
            begin = dataclasses.replace(self._given.begin, spread=spread, level_spread=spread)
            self._given = dataclasses.replace(self._given, begin=begin)
        self._informed = encoding if preset == "default" else None
        self._mean, self._spread = named("mean", mean), spread
        self._probabilities = named("probabilities", probabilities)
        for name, p in self._probabilities.items():
            if not isinstance(p, list | tuple):
                raise ValueError(f"the probabilities of {name!r} must be a list, got {p!r}")
        self._warm = best_params(init_from) if init_from else ()
        algorithm = self._beginning(self._warm)
        known = search_space or (encoding.search_space if encoding else {})
        spreads = spread if isinstance(spread, Mapping) else {}
        self._named = [*self._mean, *self._probabilities, *spreads]
        for name in self._named:
            if search_space is not None and name not in known:
                raise ValueError(
                    f"{name!r} is no parameter of the search space, whose are {sorted(known)}"
                )
        if self._mean or self._probabilities:  # refuses now what it would in the first trial
            searched = {name: d for name, d in known.items() if not d.single()}
            algorithm.start(make_space(searched, encoding))
        super().__init__(
            algorithm,
            seed=seed,
            encoding=encoding,
            search_space=search_space,
            seed_with=seed_with,
        )

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As for all samplers; warns of options for parameters that no trial has had so far."""
        known = super().infer_relative_search_space(study, trial)
        fixed = self._search_space is not None
        if known and not fixed and (unknown := sorted(set(self._named) - set(known))):
            self._warn(
                f"an option says where {unknown} begin, but no trial has had such parameters so "
                f"far; there are {sorted(known)}"
            )
        return known

    def _gene_alone(self, rng: TrialRng, name: str, distribution: BaseDistribution) -> float:
        """Where the search begins, if anything is said about that; else uniform."""
        assert isinstance(self._algorithm, CatCMA)
        begin = self._algorithm.begin
        if distribution.single() or not begin.tells_of(name):
            return super()._gene_alone(rng, name, distribution)
        return begin.draw(make_space({name: distribution}, None), rng(f"gene/{name}"))

    def _algorithm_for(self, study: Study) -> CatCMA:
        """With the good trials that the study was started with, if there were any."""
        own = {"warm": [dict(params) for params in self._warm]}
        start = store_start(study, own) if self._warm else stored_start(study)
        algorithm = self._beginning(
            tuple(tuple(sorted(params.items())) for params in start.get("warm", ()))
        )
        several = len(study.directions) > 1
        return dataclasses.replace(algorithm, surrogate=False) if several else algorithm

    def _beginning(self, warm: tuple[Params, ...]) -> CatCMA:
        """The algorithm; what the user says wins, then good trials, then the encoding."""
        seen = frozenset(name for params in warm for name, _ in params)
        means, spreads, probabilities = {}, {}, {}
        if self._informed:
            starts = self._informed.initial_means.items()
            means = {name: mean for name, (mean, _) in starts if name not in seen}
            spreads = {name: share for name, (_, share) in starts if name not in seen}
            known = self._informed.initial_probabilities.items()
            probabilities = {name: tuple(p) for name, p in known if name not in seen}
        means |= self._mean
        probabilities |= {name: tuple(p) for name, p in self._probabilities.items()}
        if isinstance(self._spread, Mapping):
            spreads |= self._spread
        elif self._spread is not None:
            spreads = {}
        begin = dataclasses.replace(
            self._given.begin,
            means=tuple(sorted(means.items())),
            spreads=tuple(sorted(spreads.items())),
            probabilities=tuple(sorted(probabilities.items())),
            warm=warm,
        )
        return dataclasses.replace(self._given, begin=begin)


def library_population(search_space: Mapping[str, BaseDistribution]) -> int:
    """4 + floor(3 ln n), as in cmaes."""
    n = sum(not distribution.single() for distribution in search_space.values())
    return 4 + math.floor(3 * math.log(max(n, 1)))
