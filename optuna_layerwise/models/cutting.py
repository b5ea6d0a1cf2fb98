"""Where a network can be cut so that what comes before is a fixed function of each image.

The cut is found by running the model, not by reading it, so that it serves any `nn.Module`. A
trace tells which module runs first that training changes; the tensor that enters it, or a module
around or before it, is then tried as all that has to be known of the part before. A cut is
believed if that tensor needs no gradient, and if the part behind it gives the same bits as the
whole model while the part before gives NaN: whatever else the rest takes from there shows.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from optuna_layerwise.models.outputs import logits_of, training_loss
from optuna_layerwise.models.seeding import drawing, seed_generators, seeded

_IGNORE_THE_MODE = {
    f"torch.nn.modules.{kind}"
    for kind in ("activation", "conv", "flatten", "linear", "normalization", "padding", "pooling")
}


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """A place in a model: a tensor that enters the module ``at``.

    Args:
        at: Path of the module.
        place: Of the tensor among the module's arguments: position or name.
        blank: One input of NaN, for what is left of the part before when only `suffix` runs.
        skipped: Modules that then need not run, and what they return for it.
    """

    at: str
    place: int | str
    blank: torch.Tensor
    skipped: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def prefix(self, model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """The tensor at the cut for inputs [n, ...]; nothing behind it runs."""

        def stop(*args: Any, **kwargs: Any) -> NoReturn:
            raise _Reached(args[self.place] if isinstance(self.place, int) else kwargs[self.place])

        try:
            with _calling({model.get_submodule(self.at): stop}):
                model(inputs)
        except _Reached as reached:
            return reached.features
        raise RuntimeError(f"{type(model).__name__} did not run its module {self.at!r}")

    @contextmanager
    def noted(self, model: nn.Module) -> Iterator[list[torch.Tensor]]:
        """Yields a list that takes a copy of the tensor at the cut whenever the model runs."""
        found: list[torch.Tensor] = []
        module = model.get_submodule(self.at)
        run: Callable[..., Any] = module._compiled_call_impl or module._call_impl

        def note(*args: Any, **kwargs: Any) -> Any:
            features = args[self.place] if isinstance(self.place, int) else kwargs[self.place]
            found.append(features.clone())
            return run(*args, **kwargs)

        with _calling({module: note}):
            yield found

    def suffix(self, model: nn.Module, features: torch.Tensor) -> Any:
        """What the model returns for inputs whose tensor at the cut is ``features``."""
        module = model.get_submodule(self.at)
        run: Callable[..., Any] = module._compiled_call_impl or module._call_impl

        def enter(*args: Any, **kwargs: Any) -> Any:
            if isinstance(self.place, str):
                return run(*args, **{**kwargs, self.place: features})
            return run(*args[: self.place], features, *args[self.place + 1 :], **kwargs)

        constants = {model.get_submodule(p): _Constant(out) for p, out in self.skipped.items()}
        with _calling({**constants, module: enter}):
            return model(self.blank)


def find_cut(
    model: nn.Module, images: torch.Tensor, *, moving: Collection[nn.Module] = ()
) -> tuple[Cut | None, str]:
    """The last cut before anything that training changes, and where it is, or why there is none.

    Changes from epoch to epoch: what a trained parameter, a BatchNorm in train mode or another
    layer in train mode, such as dropout, has touched.

    Args:
        model: In the state in which it will run: parameters frozen, modules in their modes,
            autocast entered. It is left as it was, buffers and torch's generators included.
        images: At least three inputs that differ, of the form that the model will get.
        moving: Of a model in eval mode, the modules whose buffers move in between.
    """
    if not images.is_floating_point():
        return None, "none is looked for where the inputs are whole numbers"
    with _left_as_it_was(model), torch.no_grad():
        pair = images[:2]
        calls = _trace(model, pair)
        times = Counter(call.path for call in calls)
        blank = torch.full_like(images[:1], math.nan)
        changing = ((c, why) for c in calls if (why := _why_changing(model, c.path, moving)))
        first, why = next(changing, (None, ""))
        if first is None:
            return None, "nothing is trained"
        expected = None
        for call in _candidates(calls, first):
            place = _place_of_the_batch(call, pair)
            if place is None or times[call.path] > 1 or _is_inside_compiled(model, call):
                continue
            cut = Cut(call.path, place, blank)
            if not _is_fixed(cut, model, images):
                continue
            expected = _run(model, pair) if expected is None else expected
            if not _agrees(cut, model, pair, expected):
                continue
            passed = [c.path for c in _passed(calls, call) if times[c.path] == 1]
            quick = dataclasses.replace(cut, skipped=_outputs(cut, model, pair, passed))
            return quick if _agrees(quick, model, pair, expected) else cut, f"at {call.path}"
    return None, f"none before {first.path or 'the model'}, which {why}"


class _Reached(Exception):
    def __init__(self, features: torch.Tensor) -> None:
        self.features = features


@dataclasses.dataclass(eq=False)
class _Call:
    """One run of a module, inside the run of ``parent``."""

    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    parent: _Call | None

    def around(self) -> Iterator[_Call]:
        """This call and those that it is in, without the model's own."""
        call: _Call | None = self
        while call is not None and call.parent is not None:
            yield call
            call = call.parent


def _trace(model: nn.Module, images: torch.Tensor) -> list[_Call]:
    """Every call of a module, in the order in which they begin; compiled ones run as written."""
    calls: list[_Call] = []
    running: list[_Call | None] = [None]

    def traced(path: str, module: nn.Module) -> Callable[..., Any]:
        call: Callable[..., Any] = module._call_impl

        def run(*args: Any, **kwargs: Any) -> Any:
            calls.append(_Call(path, args, kwargs, running[-1]))
            running.append(calls[-1])
            try:
                return call(*args, **kwargs)
            finally:
                running.pop()

        return run

    with _calling({module: traced(path, module) for path, module in model.named_modules()}):
        model(images)
    return calls


def _why_changing(model: nn.Module, path: str, moving: Collection[nn.Module]) -> str:
    """Why what a module returns may change, apart from the modules in it; empty if it may not."""
    module = model.get_submodule(path)
    if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
        return "is trained"
    if module in moving:
        return "has statistics that move"
    if not module.training:
        return ""
    if isinstance(module, _NormBase):
        return "is a norm in train mode"
    is_leaf = next(module.children(), None) is None
    if is_leaf and type(module).__module__ not in _IGNORE_THE_MODE:
        return f"is a {type(module).__name__} in train mode"
    return ""


def _candidates(calls: list[_Call], first: _Call) -> Iterator[_Call]:
    """``first``, the calls around it, and those before it in the same calls; latest first."""
    around = set(first.around())
    inside = {call.parent for call in around}
    for call in reversed(calls[: calls.index(first) + 1]):
        if call in around or (call.parent in inside and call.parent is not None):
            yield call


def _is_inside_compiled(model: nn.Module, call: _Call) -> bool:
    """Whether a compiled module is around it, which runs as a whole."""
    around = (model.get_submodule(c.path) for c in call.around() if c is not call)
    return any(module._compiled_call_impl is not None for module in around)


def _passed(calls: list[_Call], at: _Call) -> Iterator[_Call]:
    """The outermost calls that are over when ``at`` begins."""
    around = set(at.around())
    inside = {call.parent for call in around}
    for call in calls[: calls.index(at)]:
        if call.parent in inside and call.parent is not None and call not in around:
            yield call


def _place_of_the_batch(call: _Call, images: torch.Tensor) -> int | str | None:
    """Where the only tensor with a row an image is among the arguments, unless it is the input."""
    given: list[tuple[int | str, Any]] = [*enumerate(call.args), *call.kwargs.items()]
    tensors = [(place, value) for place, value in given if isinstance(value, torch.Tensor)]
    if len(tensors) != 1:
        return None
    [(place, tensor)] = tensors
    is_batch = tensor.ndim > 0 and len(tensor) == len(images)
    return place if is_batch and tensor.data_ptr() != images.data_ptr() else None


def _is_fixed(cut: Cut, model: nn.Module, images: torch.Tensor) -> bool:
    """Whether features need no gradient, and nothing but its own image decides on each."""
    seed_generators(1, images.device)
    with torch.enable_grad():
        features = cut.prefix(model, images[[0, 1]])
    seed_generators(2, images.device)
    again = cut.prefix(model, images[[2, 0]])
    return not features.requires_grad and torch.equal(features[0], again[1])


def _agrees(cut: Cut, model: nn.Module, images: torch.Tensor, expected: Any) -> bool:
    """Whether logits and loss are the same bits with the cut as without."""
    try:
        outputs = _run(model, images, cut)
        labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
        return all(
            torch.equal(of(outputs), of(expected))
            for of in (logits_of, lambda o: training_loss(model, o, labels))
        )
    except torch.OutOfMemoryError:
        raise
    except Exception:  # whatever a model raises that takes more from the part before
        return False


def _outputs(cut: Cut, model: nn.Module, images: torch.Tensor, paths: list[str]) -> dict[str, Any]:
    """What modules return for the blank input."""
    found: dict[str, Any] = {}

    def noted(path: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **kwargs: Any) -> Any:
            found[path] = run(*args, **kwargs)
            return found[path]

        return note

    with _calling({(m := model.get_submodule(p)): noted(p, m._call_impl) for p in paths}):
        cut.suffix(model, cut.prefix(model, images))
    return found


def _run(model: nn.Module, images: torch.Tensor, cut: Cut | None = None) -> Any:
    """The outputs, whole or by way of the cut, with the same random draws each time."""
    seed_generators(0, images.device)
    return model(images) if cut is None else cut.suffix(model, cut.prefix(model, images))


@contextmanager
def _calling(instead: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Let calls of modules go elsewhere, by the way that compiled ones go."""
    name = "_compiled_call_impl"
    compiled = {m: m.__dict__[name] for m in instead if name in m.__dict__}
    try:
        for module, call in instead.items():
            module.__dict__[name] = call
        yield
    finally:
        for module in instead:
            del module.__dict__[name]
        for module, call in compiled.items():
            module.__dict__[name] = call


class _Constant:
    def __init__(self, output: Any) -> None:
        self.output = output

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.output


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Put back the buffers that running it moves, and the random generators."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        # Runs are seeded on the way: a head that another thread draws meanwhile would be another.
        with drawing, seeded(0, next(model.parameters()).device):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
