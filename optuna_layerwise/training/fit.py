"""The fine-tuning loop: one model, one policy, one recipe, one seed.

Whatever is compared in this package, searched or published, is trained here. A block learns at
``multiplier * recipe.lr``; a frozen one (multiplier 0) is in no parameter group, and below the
lowest trained block there is no graph. What a published method changes in this is its `Course`.
"""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

import torch
from torch import nn

from optuna_layerwise.cost import Cost, training_flops
from optuna_layerwise.data import Images
from optuna_layerwise.models import (
    Blocks,
    frozen,
    reset_head,
    training_loss,
)
from optuna_layerwise.models.partition import check_partition, check_policy
from optuna_layerwise.models.seeding import seeded
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.training.checkpoint import Checkpoint
from optuna_layerwise.training.compute import determinism, placed
from optuna_layerwise.training.engine import Engine
from optuna_layerwise.training.forward import Forward
from optuna_layerwise.training.methods import Course, Joint, course_of
from optuna_layerwise.training.metrics import METRICS, START, best_epoch, check_metric
from optuna_layerwise.training.optimizers import make_optimizer, make_schedule, relative_rate
from optuna_layerwise.training.resident import split_batches
from optuna_layerwise.training.state import (
    FitState,
    changing_names,
    copy_tensors,
    training_plan,
)
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
            epoch was better than a fitted head before the first step; ``None`` if it diverged
            before the first one ended (then it has the weights it started with).
        metrics: Validation metrics of the best epoch; all NaN without one.
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
    train: Images,
    val: Images,
    engine: Engine,
    *,
    seed: int,
    flops: Mapping[str, float] | None = None,
    pretrained: bool = False,
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
        val: The split that early stopping looks at.
        engine: The device with its settings, and what trainings share.
        seed: Of everything random.
        flops: Operations of each block, from `block_flops`; counted if they are not given.
        pretrained: Take the outputs of frozen prefixes from the engine's other trainings, and
            store them: what is frozen must have the same weights in all of them.
        on_epoch: Called after each epoch; in a continued fit first for those that are restored.
            Whatever it raises ends the fit and reaches the caller; the model is then unfrozen and
            has its current, not its best weights.
        should_stop: Asked before each step.
        checkpoint: Where the fit is continued from, if it holds a state of this fit, and where
            its state is kept. ``model`` has to be as it was at the fit's beginning.

    Raises:
        ValueError: if the policy trains nothing, or the splits cannot serve the recipe.
        FitStopped: when ``should_stop`` says so, with the model as after an error of `on_epoch`.

    Example:
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
    check_partition(model, blocks)
    check_policy(blocks, policy)
    _check(policy, recipe, train, val)
    size = sum(parameter.numel() for parameter in model.parameters())
    course = course_of(policy, recipe)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    reset_head(model, blocks, seed)
    placed(model, place, compute.memory_format)
    model.zero_grad(set_to_none=True)
    train_images, val_images = engine.resident(train), engine.resident(val)
    if flops is None:
        flops = engine.flops(model, blocks, train_images)
    forward_flops = sum(flops.values())
    flops_of_all = training_flops(flops, dict.fromkeys(flops, 1.0))
    watch, scaler = Stopwatch(place), compute.scaler(place)
    extra_flops = 0.0
    if recipe.head_start == "fitted" and engine.fit_head(
        model, blocks, train_images, watch, shared=pretrained
    ):
        extra_flops = len(train) * forward_flops
    store = engine.store if pretrained else None
    shuffle, diverged = torch.Generator().manual_seed(seed), False

    with (
        seeded(seed, place),
        course.prepared(model, dict(blocks), seed) as blocks,
        frozen(model, blocks, policy, bn=recipe.bn),
        ExitStack() as stage,
        determinism(compute.deterministic),
    ):
        course.begin(model, blocks)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad) / size
        optimizer = make_optimizer(
            model, blocks, policy, recipe, place, per_tensor=course.group_per_tensor
        )
        schedule = make_schedule(optimizer, recipe)
        model.train()
        state = FitState(
            device=place,
            started=started,
            plan={
                **recipe.as_dict(),
                "seed": seed,
                "images": [len(train), len(val)],
                "device": place.type,
                "precision": compute.precision,
                **training_plan(model, optimizer),
            },
            model=model,
            names=changing_names(model),
            watch=watch,
            parts={"optimizer": optimizer, "schedule": schedule, "scaler": scaler},
            total_loss=torch.zeros((), device=place),
            order=shuffle.get_state(),
            flops=extra_flops,
            flops_of_all=extra_flops,
        )

        def forward_of(current: Policy) -> Forward:
            moving = {
                m
                for m in model.modules()
                if m.training and next(m.buffers(recurse=False), None) is not None
            }
            kind = (current.trained, recipe.bn, recipe.method)
            return Forward(model, place, compute, watch, flops, store, kind, moving)

        def add_gradient(
            forward: Forward,
            backward_flops: float,
            sizes: Counter[int],
            parts: list[torch.Tensor],
        ) -> None:
            """That of the mean loss of a batch, which goes through the network in parts."""
            n = sum(map(len, parts))
            for part in parts:
                at_this_size = len(part) * sizes[len(part)] / len(train)
                outputs = forward(train_images, part, at_this_size)
                with watch.phase("forward"), compute.autocast(place):
                    loss = training_loss(model, outputs, train_images.labels_of(part))
                with watch.phase("backward"):
                    total = loss if len(part) == n else loss * (len(part) / n)
                    if part is parts[0] and (penalty := course.penalty()) is not None:
                        total = total + penalty
                    scaler.scale(total).backward()  # type: ignore[no-untyped-call]
                state.total_loss += loss.detach() * len(part)
            state.images_seen += n
            state.flops += n * backward_flops + forward.spent()
            state.flops_of_all += n * flops_of_all

        def report(epoch: int) -> None:
            if on_epoch is not None:
                past = state.history[: epoch + 1]
                improved = best_epoch(past, recipe.metric, state.start) == epoch
                on_epoch(EpochResult(epoch, state.history[epoch], improved, state.cost))

        if checkpoint is not None and checkpoint.restore_fit(state.load_state_dict):
            for epoch in range(state.epoch):
                report(epoch)

        current, forward = policy, forward_of(policy)
        if recipe.head_start == "fitted" and not state.start:
            state.start = engine.validate(forward, val_images)
            state.best_epoch = best_epoch(state.history, recipe.metric, state.start)
            state.flops += forward.spent()
            state.flops_of_all += len(val) * forward_flops
        while not _is_over(state, recipe, course):
            model.train()
            epoch = state.epoch
            if (wanted := course.trained(epoch)) != current:
                stage.close()
                stage.enter_context(frozen(model, blocks, wanted, bn=recipe.bn))
                current, forward = wanted, forward_of(wanted)
            shuffle.set_state(state.order)
            order = torch.randperm(len(train), generator=shuffle)
            batches = split_batches(order, recipe.batch_size)
            parts_of = [
                split_batches(rows, micro) if (micro := engine.micro_batch) else [rows]
                for rows in batches
            ]
            sizes = Counter(len(part) for parts in parts_of for part in parts)
            backward_flops = training_flops(flops, current) - forward_flops
            step = partial(add_gradient, forward, backward_flops, sizes)
            for parts in parts_of[state.step :]:
                if should_stop is not None and should_stop():
                    if checkpoint is not None:
                        checkpoint.save(state.state_dict())
                    raise FitStopped(f"stopped before step {state.step} of epoch {epoch}")
                if state.step == 0:
                    course.begin_epoch(Joint(epoch, parts_of, step, optimizer, schedule, scaler))
                    state.total_loss.zero_()
                step(parts)
                with watch.phase("optimizer"):
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad(set_to_none=True)
                state.step += 1
                # Reading the loss waits for an accelerator: there, once per epoch.
                if place.type == "cpu" and not math.isfinite(state.total_loss.item()):
                    break
            lr = recipe.lr * relative_rate(schedule)
            with warnings.catch_warnings():  # in fp16 a first step may be left out
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
                schedule.step()

            train_loss = state.total_loss.item() / len(train)
            diverged = not math.isfinite(train_loss)
            if diverged:
                break
            metrics = engine.validate(forward, val_images)
            state.flops += forward.spent()
            state.flops_of_all += len(val) * forward_flops
            diverged = not math.isfinite(metrics["loss"])
            if diverged:
                break
            state.history.append({"train_loss": train_loss, "lr": lr, **metrics})
            state.best_epoch = best_epoch(state.history, recipe.metric, state.start)
            if state.best_epoch == epoch:
                copy_tensors(state.changing, state.best)
            state.step, state.order = 0, shuffle.get_state()
            state.total_loss.zero_()
            report(epoch)
            if checkpoint is not None and checkpoint.is_due():
                checkpoint.save(state.state_dict())

        copy_tensors(state.best, state.changing)
        prefix = forward.prefix(train_images).where

    final: Mapping[str, float] = {}
    if state.best_epoch is not None:
        final = state.start if state.best_epoch == START else state.history[state.best_epoch]
    return Fit(
        history=tuple(state.history),
        best_epoch=state.best_epoch,
        metrics={name: final.get(name, math.nan) for name in METRICS},
        diverged=diverged,
        trained_share=trained,
        cost=state.cost,
        prefix=prefix,
    )


def _is_over(state: FitState, recipe: Recipe, course: Course) -> bool:
    """Whether the epochs or the patience is at its end, once all blocks are trained."""
    waited = state.epoch - 1 - max(state.best_epoch or 0, course.settled)
    stuck = recipe.patience is not None and state.epoch > 0 and waited >= recipe.patience
    return stuck or state.epoch >= course.epochs


def _check(policy: Policy, recipe: Recipe, train: Images, val: Images) -> None:
    if not policy.trained:
        raise ValueError(
            f"the policy freezes every block ({', '.join(policy)}), so there is nothing to fit; "
            "evaluate the model instead, or give at least one block a multiplier above 0"
        )
    for name, images in (("training", train), ("validation", val)):
        if not len(images):
            raise ValueError(f"the {name} split must hold at least one image, got none")
    check_metric(recipe.metric, val)
