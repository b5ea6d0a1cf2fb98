"""Who may import whom, read from the source of every module."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import optuna_layerwise
from optuna_layerwise.lazy import homes_of

PACKAGE = "optuna_layerwise"
ROOT = Path(optuna_layerwise.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
INITS = sorted(ROOT.rglob("__init__.py"))

ARROWS: dict[str, set[str]] = {
    # room or module beside the rooms: what it may import
    "plain": set(),
    "methods": {"plain"},
    "policy": {"plain", "methods"},
    "attributes": set(),
    "cost": set(),
    "lazy": set(),
    "texts": set(),
    "files": set(),
    "fingerprint": {"policy", "attributes", "storage"},
    "pausing": set(),
    "pruning": {"storage"},
    "storage": {"plain"},
    "data": set(),
    "encodings": {"plain", "policy"},
    "samplers": {"plain", "storage"},
    "models": {"policy"},
    "training": {"policy", "methods", "cost", "models", "data"},
    "baselines": {"policy", "methods", "encodings"},
    "digits": {"policy", "models", "data", "training"},
    "runs": {"policy", "attributes", "cost", "storage"},
    "deriving": {"policy", "storage", "encodings", "runs"},
    "trial_files": {"storage", "training"},
    "repeats": {"policy", "storage", "runs"},
    "seed_loop": {"policy", "cost", "data", "training", "runs", "repeats"},
    "racing": set(),
    "results": {"policy", "attributes", "storage"},
    "answer": {"policy", "storage", "results"},
    "finalists": {
        *("policy", "storage", "data", "training", "baselines", "runs", "racing", "results"),
        *("answer", "encodings", "deriving", "studies"),
    },
    "objective": {
        *(
            "plain",
            "policy",
            "pausing",
            "storage",
            "data",
            "encodings",
            "models",
            "training",
            "baselines",
        ),
        *(
            "runs",
            "deriving",
            "repeats",
            "seed_loop",
            "trial_files",
            "finalists",
            "results",
            "fingerprint",
        ),
    },
    "studies": {"pausing", "storage", "attributes", "fingerprint", "runs", "results"},
    "launch": {"pausing"},
    "reporting": {
        *("policy", "storage", "encodings", "studies", "attributes", "runs", "results"),
        "answer",
    },
    "visualization": {"reporting"},
    "layerbench": {"plain", "policy", "encodings", "storage", "reporting"},
    "protocols": {
        *("plain", "policy", "attributes", "fingerprint", "pausing", "storage", "data"),
        "encodings",
        *("samplers", "models", "training", "digits", "runs", "results", "objective", "studies"),
        *("reporting", "baselines", "pruning"),
    },
}
ARROWS["cli"] = set(ARROWS)
WITHOUT_TORCH = (
    *(
        "plain",
        "methods",
        "policy",
        "pausing",
        "pruning",
        "storage",
        "encodings",
        "baselines",
        "samplers",
    ),
    *("studies", "launch"),
    *("attributes", "fingerprint", "runs", "deriving", "results", "answer", "reporting"),
    "visualization",
    "cli",
    *("layerbench", "protocols"),
)
OPTUNA_AND_TORCH = {"finalists"}

PRIVATE_OF_OTHERS: dict[str, set[str]] = {
    # module outside storage/: private attributes of Optuna's objects that it uses (ideally none)
    "samplers/_cohort.py": {"_storage", "_study_id"},
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    """The first part of a module's path; empty for the package's own ``__init__``."""
    return path.relative_to(ROOT).with_suffix("").parts[0].replace("__init__", "")


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def walk_at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but what only type checkers see: it imports nothing, so it makes no arrow.

    `finalists` needs that exemption: the objective calls `finalize` with itself as an argument.
    """
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.stmt) and is_type_checking(node)):
            yield node
            yield from walk_at_run_time(node)


def imports(path: Path) -> Iterator[str]:
    """Dotted names of what a module imports, inside functions as well."""
    for node in walk_at_run_time(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name_of(path)} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Room and full path of what a module imports from this package."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == PACKAGE and len(parts) > 1:
            room = parts[1] if parts[1] in ARROWS else homes_of(PACKAGE)[parts[1]].split(".")[1]
            yield room, parts


def test_every_room_has_a_row_and_every_row_a_room() -> None:
    assert {room_of(path) for path in MODULES} == {"", *ARROWS}


def test_the_arrows_have_no_cycle() -> None:
    assert set(TopologicalSorter(ARROWS).static_order()) == set(ARROWS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    allowed = ARROWS[room] | {room, "lazy", "texts", "files"} if room else set(ARROWS)
    for imported, parts in own_imports(path):
        assert imported in allowed, f"{name_of(path)} imports {'.'.join(parts)}"
        private = [part for part in parts if part.startswith("_")]
        assert imported == room or not private, f"{'.'.join(parts)} is private"


def test_optuna_meets_torch_only_in_the_objective_and_its_finalists() -> None:
    both = {
        room_of(path)
        for path in MODULES
        if {"optuna", "torch"} <= {name.split(".")[0] for name in imports(path)}
    }
    assert both == OPTUNA_AND_TORCH


def test_the_search_side_imports_no_torch() -> None:
    modules = [PACKAGE, *(f"{PACKAGE}.{room}" for room in WITHOUT_TORCH)]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_storage_touches_what_is_private_to_optuna(path: Path) -> None:
    """Elsewhere, a module that imports optuna uses no private attribute but its own."""
    of_optuna = [name for name in imports(path) if name.split(".")[0] == "optuna"]
    if room_of(path) == "storage" or not of_optuna:
        return
    assert [name for name in of_optuna if "._" in name] == []
    tree = ast.parse(path.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    private = [node for node in nodes if node.attr[0] == "_" and node.attr[:2] != "__"]
    own = {node.attr for node in private if ast.unparse(node.value) in ("self", "cls")}
    others = {node.attr for node in private} - own - defined(tree)
    assert others == PRIVATE_OF_OTHERS.get(name_of(path), set())


def defined(tree: ast.AST) -> set[str]:
    """Names of functions, and of variables of modules and classes."""
    functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    variables = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    return functions | variables


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as isort has it."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("path", INITS, ids=name_of)
def test_all_is_sorted_and_is_what_the_init_offers(path: Path) -> None:
    name = ".".join([PACKAGE, *path.relative_to(ROOT).parent.parts])
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__, key=order)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None
    if room_of(path):
        tree = ast.parse(path.read_text())
        own = {n.split(".")[-1] for n in imports(path) if n.startswith(PACKAGE)} - {"lazily"}
        own |= {n for n in defined(tree) if n[:2] != "__"} | set(homes_of(name))
        assert set(module.__all__) <= own
        unoffered = own - set(module.__all__)
        assert not unoffered, f"{name} imports {unoffered} and does not offer them"


def test_editors_complete_names_that_nobody_has_used_yet() -> None:
    code = "import optuna_layerwise as package; assert set(package.__all__) <= set(dir(package))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Polcy'"):
        getattr(optuna_layerwise, "Polcy")  # noqa: B009
