"""The fine-tuning loop: one model, one policy, one recipe, one seed.

Whatever is compared in this package, searched or published, is trained here. A block learns at
``multiplier * recipe.lr``; a frozen one (multiplier 0) is in no parameter group, and below the
lowest trained block there is no graph. What a published method changes in this is its `Course`.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from torch import nn

from optuna_layerwise.cost import Cost
from optuna_layerwise.data import Examples
from optuna_layerwise.models import Blocks, frozen, reset_head
from optuna_layerwise.models.partition import check_partition, check_policy
from optuna_layerwise.models.seeding import seeded
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.tasks import task_of
from optuna_layerwise.training.checkpoint import Checkpoint
from optuna_layerwise.training.compute import determinism, placed
from optuna_layerwise.training.engine import Engine
from optuna_layerwise.training.methods import course_of
from optuna_layerwise.training.metrics import START, best_epoch, check_metric
from optuna_layerwise.training.state import FitState, copy_tensors
from optuna_layerwise.training.steps import Steps
from optuna_layerwise.training.stopwatch import Stopwatch


class FitStopped(Exception):
    """The fit was asked to stop; its checkpoint, if it has one, is where it stood."""


@dataclasses.dataclass(frozen=True)
class EpochResult:
    """One finished epoch, counted from 0; ``metrics`` is its entry in `Fit.history`.

    ``cost`` is that of the fit so far.
    """

    epoch: int
    metrics: dict[str, float]
    improved: bool
    cost: Cost


@dataclasses.dataclass(frozen=True)
class Fit:
    """What one fine-tuning gave and what it cost.

    Args:
        history: Per finished epoch ``train_loss`` (mean over its images, as they were trained),
            ``lr`` (of a block with multiplier 1) and the validation metrics.
        best_epoch: The epoch whose weights the model has, counted from 0; `START` (-1) if no
            epoch was better than a fitted head before the first step; ``None`` if no epoch has
            ended (then it has the weights it started with).
        metrics: Validation metrics of the best epoch; all NaN without one, and without a
            validation split.
        diverged: The training or the validation loss stopped being finite.
        trained_share: Trained parameters (adapters too) as a share of the network's own.
        cost: What it took.
        prefix: Where the frozen prefix ends whose outputs are stored, or why there is none.
    """

    history: tuple[dict[str, float], ...]
    best_epoch: int | None
    metrics: dict[str, float]
    diverged: bool
    trained_share: float
    cost: Cost
    prefix: str


def fit(
    model: nn.Module,
    blocks: Blocks,
    policy: Policy,
    recipe: Recipe,
    train: Examples,
    val: Examples | None,
    engine: Engine,
    *,
    seed: int,
    flops: Mapping[str, float] | None = None,
    share_prefixes: bool = False,
    on_epoch: Callable[[EpochResult], object] | None = None,
    should_stop: Callable[[], bool] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Fit:
    """Fine-tune ``model`` in place; it ends on the device, unfrozen, with its best weights.

    The seed decides a random head, the order of the images and dropout, and nothing else; global
    generators are as they were afterwards. On a CPU equal seeds give equal bits, also if the fit
    was stopped, or killed, and continued.

    Args:
        model: A pretrained network whose head has one output per class.
        blocks: Its parameters by block, from `partition`.
        policy: For every block a multiplier of ``recipe.lr``, 0 is frozen.
        recipe: Optimizer, schedule, epochs, early stopping, method. ``cosine_epochs`` below
            ``epochs`` lets the rate rise again, as torch's ``CosineAnnealingLR`` does.
        train: The training split; see `split_batches` for a ragged end.
        val: The split that chooses the best epoch and stops early; ``None`` trains all epochs
            and ends with the weights of the last.
        engine: The device with its settings, and what trainings share.
        seed: Of everything random.
        flops: Operations of each block, from `block_flops`; counted if they are not given.
        share_prefixes: Take the outputs of frozen prefixes from the engine's other trainings,
            and store them: what is frozen must have the same weights in all of them.
        on_epoch: Called after each epoch; in a continued fit first for those that are restored.
            Whatever it raises ends the fit and reaches the caller; the model is then unfrozen and
            has its current, not its best weights.
        should_stop: Asked before each step.
        checkpoint: Where the fit is continued from, if it holds a state of this fit, and where
            its state is kept. ``model`` has to be as it was at the fit's beginning.

    Raises:
        ValueError: if the policy trains nothing, or the splits cannot serve the recipe.
        FitStopped: when ``should_stop`` says so, with the model as after an error of `on_epoch`.

    Examples:
        >>> from optuna_layerwise.data import load_data
        >>> from optuna_layerwise.models import DigitsCNN, partition
        >>> digits, model = load_data("digits", image_size=8), DigitsCNN(num_classes=5)
        >>> blocks = partition(model)
        >>> engine = Engine(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), device="cpu")
        >>> result = fit(model, blocks, Policy.uniform(blocks, ["stage3", "head"]),
        ...              Recipe(epochs=2), digits.train, digits.val, engine, seed=0)
        >>> len(result.history), result.cost.images_seen
        (2, 100)
    """
    started, place, compute = time.perf_counter(), engine.device, engine.compute
    _check(model, blocks, policy, recipe, train, val)
    size = sum(parameter.numel() for parameter in model.parameters())
    course, watch = course_of(policy, recipe), Stopwatch(place)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    reset_head(model, blocks, seed)
    placed(model, place, compute.memory_format)
    model.zero_grad(set_to_none=True)
    images = engine.resident(train)
    if flops is None:
        flops = engine.flops(model, blocks, images)
    spent = 0.0
    if recipe.head_start == "fitted" and engine.fit_head(
        model, blocks, images, watch, shared=share_prefixes
    ):
        spent = len(train) * sum(flops.values())
    with (
        seeded(seed, place),
        course.prepared(model, dict(blocks), seed) as blocks,
        frozen(model, blocks, policy, bn=recipe.bn),
        ExitStack() as stage,
        determinism(compute.deterministic),
    ):
        steps = Steps(
            *(model, blocks, course, images, None if val is None else engine.resident(val)),
            engine,
            seed=seed,
            flops=flops,
            store=engine.store if share_prefixes else None,
            stage=stage,
            watch=watch,
            started=started,
            spent=spent,
        )
        state, diverged = steps.state, False
        if checkpoint is not None and checkpoint.restore_fit(state.load_state_dict):
            for epoch in range(state.epoch):
                _report(epoch, state, recipe, val, on_epoch)
        steps.validate_start()
        while not (diverged or steps.is_over()):
            for batch in steps.epoch():
                if should_stop is not None and should_stop():
                    if checkpoint is not None:
                        checkpoint.save(state.state_dict())
                    raise FitStopped(f"stopped before step {state.step} of epoch {state.epoch}")
                steps.take(batch)
            diverged = not steps.end_epoch()
            if not diverged:
                _report(state.epoch - 1, state, recipe, val, on_epoch)
                if checkpoint is not None and checkpoint.is_due():
                    checkpoint.save(state.state_dict())
        copy_tensors(state.best, state.changing)
        prefix = steps.forward.prefix(images).where
    final: Mapping[str, float] = {}
    if state.best_epoch is not None:
        final = state.start if state.best_epoch == START else state.history[state.best_epoch]
    return Fit(
        history=tuple(state.history),
        best_epoch=state.best_epoch,
        metrics={name: final.get(name, math.nan) for name in task_of(train).metrics},
        diverged=diverged,
        trained_share=steps.trained / size,
        cost=state.cost,
        prefix=prefix,
    )


def _report(
    epoch: int,
    state: FitState,
    recipe: Recipe,
    val: Examples | None,
    on_epoch: Callable[[EpochResult], object] | None,
) -> None:
    if on_epoch is not None:
        past = state.history[: epoch + 1]
        improved = val is None or best_epoch(past, recipe.metric, state.start) == epoch
        on_epoch(EpochResult(epoch, state.history[epoch], improved, state.cost))


def _check(
    model: nn.Module,
    blocks: Blocks,
    policy: Policy,
    recipe: Recipe,
    train: Examples,
    val: Examples | None,
) -> None:
    check_partition(model, blocks)
    check_policy(blocks, policy)
    if not policy.trained:
        raise ValueError(
            f"the policy freezes every block ({', '.join(policy)}), so there is nothing to fit; "
            "evaluate the model instead, or give at least one block a multiplier above 0"
        )
    for name, images in (("training", train), ("validation", val)):
        if images is not None and not len(images):
            raise ValueError(f"the {name} split must hold at least one image, got none")
    if val is not None:
        check_metric(recipe.metric, val)
