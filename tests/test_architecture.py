"""Who may import whom, read from the source of every module."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
    # folder: the folders that it may import, beside io/ and the modules of the root
    "io": set(),
    "storage": set(),
    "data": set(),
    "encodings": set(),
    "tasks": set(),
    "models": {"tasks"},
    "samplers": {"storage"},
    "training": {"data", "models", "tasks"},
    "records": {"storage", "encodings"},
    "baselines": {"encodings"},
    "layerbench": {"encodings", "storage"},
    "studies": {"records", "storage"},
    "analysis": {"encodings", "records", "storage"},
    "objective": {
        *("baselines", "data", "encodings", "models", "records", "storage", "studies"),
        *("tasks", "training"),
    },
    "integrations": {"encodings", "models"},
    "launch": {"studies"},
    "prediction": {"data", "models", "records", "tasks", "training"},
    "visualization": {"analysis"},
    "reporting": {"analysis", "records", "storage", "visualization"},
    "experiments": {
        *("baselines", "data", "encodings", "models", "objective", "records", "samplers"),
        *("storage", "studies", "training"),
    },
}
ARROWS["cli"] = set(ARROWS)
ROOT_MODULES = {"", "policy", "recipe", "recipe_methods", "cost", "lazy"}
SOURCES = ("timm", "torchvision", "transformers")
"""Libraries, whose names a module of models/sources has, too."""
BRIDGES = {"integrations", "objective"}
"""Where Optuna and torch meet: in our trainings, and in those of other libraries."""

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
    """All nodes but what only type checkers see: it imports nothing, so it makes no arrow."""
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
    """Folder, or module of the root, and full path of what a module imports from this package."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == PACKAGE and len(parts) > 1:
            known = parts[1] in ARROWS or parts[1] in ROOT_MODULES
            yield parts[1] if known else homes_of(PACKAGE)[parts[1]].split(".")[1], parts


def test_every_folder_has_a_row_and_the_root_few_modules() -> None:
    assert {room_of(path) for path in MODULES} == {*ARROWS, *ROOT_MODULES}
    assert len(ROOT_MODULES) <= 6


def test_no_two_modules_have_one_name() -> None:
    names = Counter(
        path.stem
        for path in MODULES
        if room_of(path) != "cli" and path.stem not in ("__init__", *SOURCES)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_the_arrows_have_no_cycle() -> None:
    assert set(TopologicalSorter(ARROWS).static_order()) == set(ARROWS)


def test_modules_import_only_what_their_folder_may() -> None:
    wrong = []
    for path in MODULES:
        room = room_of(path)
        below = {"io", room, *ROOT_MODULES}
        allowed = ROOT_MODULES | {"io"} if room in ROOT_MODULES else ARROWS[room] | below
        for imported, parts in own_imports(path):
            private = any(part.startswith("_") for part in parts)
            if room and imported not in allowed or private and imported != room:
                wrong.append(f"{name_of(path)} imports {'.'.join(parts)}")
    assert wrong == []


def loads() -> dict[str, set[str]]:
    """Module to all that importing it imports, at the top of modules, transitively.

    What comes through the bridge is left out, but for the modules of the bridge itself.
    """
    direct: dict[str, set[str]] = {}
    for path in MODULES:
        name = ".".join([PACKAGE, *path.relative_to(ROOT).with_suffix("").parts])
        top = ast.Module(
            [node for node in ast.parse(path.read_text()).body if not is_type_checking(node)], []
        )
        body = [node for node in top.body if not isinstance(node, ast.FunctionDef)]
        direct[name.removesuffix(".__init__")] = set(imported_names(body))
    graph = {name: {known(each, direct) for each in names} for name, names in direct.items()}
    closed: dict[str, set[str]] = {}
    for name in TopologicalSorter(graph).static_order():
        below = graph.get(name, set())
        through = below if is_of_bridge(name) else {b for b in below if not is_of_bridge(b)}
        closed[name] = below.union(*(closed.get(each, set()) for each in through))
    return closed


def is_of_bridge(module: str) -> bool:
    return module.split(".")[1:2] in [[bridge] for bridge in BRIDGES]


def imported_names(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def known(name: str, modules: Mapping[str, object]) -> str:
    """The module of this package that a dotted name lies in; of others the package alone."""
    if not name.startswith(PACKAGE):
        return name.split(".")[0]
    while name not in modules:
        name = name.rpartition(".")[0]
    return name


def test_optuna_meets_torch_in_the_bridges_alone() -> None:
    """Whatever imports both when it is imported itself, however many modules lie between."""
    both = {
        name.split(".")[1]
        for name, below in loads().items()
        if name.startswith(f"{PACKAGE}.") and {"optuna", "torch"} <= below
    }
    assert both == BRIDGES


def test_only_storage_touches_what_is_private_to_optuna() -> None:
    """Elsewhere, a module that imports optuna uses no private attribute but its own."""
    found = {}
    for path in MODULES:
        of_optuna = [name for name in imports(path) if name.split(".")[0] == "optuna"]
        if room_of(path) == "storage" or not of_optuna:
            continue
        assert [name for name in of_optuna if "._" in name] == [], name_of(path)
        tree = ast.parse(path.read_text())
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        private = [node for node in nodes if node.attr[0] == "_" and node.attr[:2] != "__"]
        own = {node.attr for node in private if ast.unparse(node.value) in ("self", "cls")}
        if others := {node.attr for node in private} - own - defined(tree):
            found[name_of(path)] = others
    assert found == PRIVATE_OF_OTHERS


def test_cmaes_is_left_to_optuna() -> None:
    """The package has its own update, so any cmaes will do for Optuna's sampler."""
    imported = {name.split(".")[0] for path in MODULES for name in imports(path)}
    assert "optuna" in imported and "cmaes" not in imported


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


def test_former_names_of_modules_still_work_and_warn() -> None:
    with pytest.warns(FutureWarning, match=r"methods is now optuna_layerwise\.recipe_methods"):
        former = importlib.import_module("optuna_layerwise.methods")
    assert former.LowRank is importlib.import_module("optuna_layerwise.recipe_methods").LowRank
