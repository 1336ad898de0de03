"""The layout of the package (allowed imports, no cycles, names) and of the tests, read from the source."""

import ast
import re
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


# The tests: they use public names of the package only, and do not assert durations.

TESTS = {p: ast.parse(p.read_text(encoding="utf-8")) for p in sorted((ROOT / "tests").rglob("*.py"))}
PRIVATE = re.compile(r"(?:[\w.]*\.)?(_[a-z]\w*[a-z0-9])")  # not _repr_html_, which IPython calls
FOREIGN = {"_esm", "_css"}  # attributes that anywidget reads
CLOCKS = {"monotonic", "perf_counter", "process_time", "time_ns"}
READ_A_CLOCK = {"panels/test_live_lab_browser.py"}  # timeouts of loops that wait for the page


def private_definitions(trees: Iterator[ast.Module]) -> set[str]:
    """The private functions, classes, attributes and variables that modules define."""
    names = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {name for name in names if PRIVATE.fullmatch(name)} - FOREIGN


def private_uses(tree: ast.Module, private: set[str]) -> set[str]:
    """The names in `private` that a test imports, reads as an attribute, or quotes (getattr, monkeypatch)."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self":
            names.add(node.attr)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := PRIVATE.fullmatch(node.value))
        ):
            names.add(match[1])
    return names & private


def clock_asserts(tree: ast.Module) -> list[int]:
    """The lines of the assert statements that read a clock."""
    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    return [node.lineno for node in asserts for part in ast.walk(node.test) if getattr(part, "attr", "") in CLOCKS]


def relative(path: Path) -> str:
    return path.relative_to(ROOT / "tests").as_posix()


def test_tests_use_no_private_names_of_the_package():
    private = private_definitions(iter(FILES.values()))
    uses = {relative(path): private_uses(tree, private) for path, tree in TESTS.items()}
    assert {path: names for path, names in uses.items() if names} == {}


def test_tests_assert_no_durations():
    lines = {relative(path): clock_asserts(tree) for path, tree in TESTS.items()}
    assert {path: at for path, at in lines.items() if at and path not in READ_A_CLOCK} == {}


@pytest.mark.parametrize(
    "line",
    ["widget._planted = 1", "from workbench.x import _planted", 'monkeypatch.setattr("workbench.x._planted", 1)'],
)
def test_a_private_name_in_a_test_is_detected(line):
    definition = ast.parse("class Widget:\n    def __init__(self):\n        self._planted = 0\n")
    assert private_uses(ast.parse(line), private_definitions(iter([definition]))) == {"_planted"}
    assert private_uses(ast.parse("widget._repr_html_(), widget.state"), {"_planted"}) == set()


def test_an_assert_on_a_clock_is_detected():
    assert clock_asserts(ast.parse("start = time.monotonic()\nassert time.monotonic() - start < 1\n")) == [2]
