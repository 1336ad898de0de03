"""Names and sizes in the source: functions are verbs or quantities, a class name occurs once, units stay readable."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "workbench"
FILES = {p.relative_to(ROOT).as_posix(): p.read_text(encoding="utf-8") for p in sorted(ROOT.rglob("*.py"))}
TREES = {path: ast.parse(text) for path, text in FILES.items()}
MAX_FUNCTION, MAX_FILE, MAX_DEFINITIONS = 60, 350, 18  # lines, lines, functions and classes of a file
VERBS = {"embed", "feed", "need", "seed", "speed", "exceed", "proceed", "shed"}  # end in -ed without being participles
IRREGULAR = {
    "begun",
    "bought",
    "bound",
    "broken",
    "brought",
    "built",
    "caught",
    "chosen",
    "done",
    "drawn",
    "driven",
    "fallen",
    "fed",
    "forgotten",
    "fought",
    "found",
    "frozen",
    "given",
    "gone",
    "grown",
    "heard",
    "held",
    "hidden",
    "kept",
    "known",
    "laid",
    "led",
    "lent",
    "lost",
    "made",
    "meant",
    "met",
    "paid",
    "proven",
    "risen",
    "said",
    "seen",
    "sent",
    "shaken",
    "shown",
    "sold",
    "spent",
    "spoken",
    "stolen",
    "stood",
    "stuck",
    "sunk",
    "swept",
    "sworn",
    "taken",
    "taught",
    "thought",
    "thrown",
    "told",
    "torn",
    "understood",
    "woken",
    "won",
    "worn",
    "wound",
    "written",
}
PREPOSITIONS = {
    "apart",
    "as",
    "at",
    "away",
    "back",
    "by",
    "for",
    "from",
    "in",
    "into",
    "of",
    "off",
    "on",
    "out",
    "over",
    "to",
    "up",
    "with",
}


def is_participle(word: str) -> bool:
    return word in IRREGULAR or (word.endswith("ed") and word not in VERBS)


def is_named_by_participle(name: str) -> bool:
    """Whether a name is a participle alone or one with a preposition: `drawn`, `told_apart`; not `expected_angle`."""
    first, *rest = name.strip("_").lower().split("_")
    return is_participle(first) and all(word in PREPOSITIONS or is_participle(word) for word in rest)


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(each) or ".setter" in ast.unparse(each) for each in node.decorator_list)


def participles(trees: dict[str, ast.Module]) -> list[str]:
    names = [(path, node) for path, tree in trees.items() for node in functions(tree) if not is_property(node)]
    return [f"{path}: {node.name}" for path, node in names if is_named_by_participle(node.name)]


def classes_defined_twice(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    places = defaultdict(list)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)
    return {name: paths for name, paths in places.items() if len(paths) > 1}


def test_no_function_is_named_by_a_past_participle():
    assert participles(TREES) == []


def test_no_class_name_occurs_twice():
    assert classes_defined_twice(TREES) == {}


def test_functions_fit_on_a_screen():
    lengths = {
        f"{path}: {node.name}": node.end_lineno - node.lineno + 1 for path in TREES for node in functions(TREES[path])
    }
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION} == {}


def test_files_are_short_and_define_few_names():
    assert {path: n for path, text in FILES.items() if (n := text.count("\n")) > MAX_FILE} == {}
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    counts = {path: sum(isinstance(node, kinds) for node in tree.body) for path, tree in TREES.items()}
    assert {path: n for path, n in counts.items() if n > MAX_DEFINITIONS} == {}


def test_every_module_says_what_it_is_for():
    assert [path for path, tree in TREES.items() if FILES[path].strip() and not ast.get_docstring(tree)] == []


def test_what_these_tests_look_for_is_found():
    tree = ast.parse(
        "class A:\n    @property\n    def closed(self): ...\n    def drawn(self): ...\ndef told_apart(): ...\n"
    )
    other = ast.parse("class A: ...\ndef expected_angle(): ...\ndef embed(): ...\ndef feed_by(): ...\n")
    trees = {"a.py": tree, "b.py": other}
    assert participles(trees) == ["a.py: told_apart", "a.py: drawn"]
    assert classes_defined_twice(trees) == {"A": ["a.py", "b.py"]}
