"""The house's directions of import: the core never imports, at module level, the folders that stand on it."""

import ast
from pathlib import Path

CORE = Path(__file__).parent.parent / "entp_hf"
ABOVE = {"builders", "cards", "trainer_callbacks", "cli", "demo", "__main__", "webapp"}
HEAVY = {
    "torch",
    "transformers",
    "sentence_transformers",
    "trl",
    "peft",
    "lm_eval",
    "faiss",
    "gradio",
    "ray",
    "matplotlib",
}


def imported(tree: ast.Module, top: bool = True) -> set[str]:
    nodes = tree.body if top else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{'.' * node.level}{node.module or ''}"} | {
                f"{'.' * node.level}{a.name}" for a in node.names if not node.module
            }
    return names


def test_the_core_does_not_import_what_stands_on_it() -> None:
    wrong = {}
    for path in CORE.rglob("*.py"):
        if ABOVE & {*path.relative_to(CORE).with_suffix("").parts}:
            continue
        found = {
            name.lstrip(".").removeprefix("entp_hf.").split(".")[0] for name in imported(ast.parse(path.read_text()))
        }
        if found & ABOVE:
            wrong[path.name] = found & ABOVE
    assert not wrong


def test_the_core_imports_nothing_heavy_at_module_level() -> None:
    wrong = {}
    for path in CORE.rglob("*.py"):
        if "webapp" in path.parts:  # an app is nothing without its toolkit
            continue
        found = {name.split(".")[0] for name in imported(ast.parse(path.read_text()))} & HEAVY
        if found:
            wrong[path.name] = found
    assert not wrong


def test_modules_are_small() -> None:
    root = CORE.parent
    long = {
        str(path.relative_to(root)): n
        for folder in ("entp_hf", "builders", "cards", "trainer_callbacks")
        for path in (root / folder).rglob("*.py")
        if (n := len(path.read_text().splitlines())) > 250
    }
    assert not long
