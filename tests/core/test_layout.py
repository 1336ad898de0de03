"""The layout of the package: which package may import which, no cycles, sizes, names. Read from the source, not run."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDER = [
    "core",
    "margins",
    "data",
    "mining",
    "centers",
    "losses",
    "methods",
    "networks",
    "curves",
    "probes",
    "evaluation",
    "training",
    "views",
    "compare",
    "reports",
    "panels",
    "cli",
]  # a package imports from those before it
FILES = {p: ast.parse(p.read_text(encoding="utf-8")) for p in sorted((ROOT / "workbench").rglob("*.py"))}
MODULES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in FILES}


def imports(nodes: list[ast.stmt] | Iterator[ast.AST]) -> Iterator[str]:
    """The modules of this project that import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield from (name for name in (full, node.module) if name in MODULES)


def on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported; not those of functions or of `if TYPE_CHECKING`."""
    for node in body:
        if (isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test)) or isinstance(node, ast.Try):
            yield from on_import(node.body)
        else:
            yield node


def package(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def arrows(sources: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """(package, package) for each import between packages, those inside functions included."""
    found = {(package(m), package(other)) for m, tree in sources.items() for other in imports(ast.walk(tree))}
    return {(a, b) for a, b in found if a != b and a and b}


def against(pairs: set[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted((a, b) for a, b in pairs if ORDER.index(a) < ORDER.index(b))


def test_the_packages_are_those_of_the_order():
    names = {p.name for p in (ROOT / "workbench").iterdir() if p.name not in ("__init__.py", "__pycache__", "py.typed")}
    assert names == set(ORDER)


def test_packages_import_down_the_order_only():
    assert against(arrows({m: FILES[p] for m, p in MODULES.items()})) == []


def test_an_import_against_the_order_is_found():
    planted = {"workbench.margins.base": ast.parse("def f():\n    from workbench.training.fit import Job\n")}
    assert against(arrows(planted)) == [("margins", "training")]


def test_no_module_imports_itself_through_others():
    graph = defaultdict(set)
    for module, path in MODULES.items():
        graph[module] = {other for other in imports(on_import(FILES[path].body)) if not module.startswith(other)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_importing_the_package_loads_no_other_module_of_it_and_no_torch():
    code = "import sys, workbench; print([m for m in sys.modules if m.startswith(('workbench.', 'torch', 'numpy'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_every_public_name_imports():
    import workbench

    assert all(getattr(workbench, name) is not None for name in workbench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        workbench.nonsense  # noqa: B018
