"""Directions of import: a folder imports only what stands earlier in LAYERS; nothing heavy is imported on import."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAPPED = ("builders", "cards", "trainer_callbacks")  # folders of the top level that install inside entp_hf

# Within one layer, folders do not import each other. Late imports and those under TYPE_CHECKING count.
LAYERS = [
    ["errors", "schema", "arrays", "data", "prompts", "templates"],
    ["text"],
    ["rules"],
    ["config"],
    ["execution"],
    ["io"],
    ["models", "reporting"],
    ["llm", "embedding", "evaluation"],
    ["cards"],
    ["rating", "correction", "purge"],
    ["trainer_callbacks", "gate"],
    ["training", "mix"],
    ["baselines", "pipeline"],
    ["builders", "experiments"],
    ["__init__"],
    ["webapp"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
RESOURCES = ("data", "prompts", "templates")  # folders of files, without code
HEAVY = {
    "torch", "transformers", "sentence_transformers", "trl", "peft", "lm_eval", "faiss", "gradio", "ray", "matplotlib",
}  # fmt: skip


def modules() -> dict[str, Path]:
    """Dotted name to file, for every module of the package."""
    found = {}
    for folder in ("entp_hf", *MAPPED):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = ("entp_hf", *parts) if parts[0] in MAPPED else parts
            found[".".join(parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path], late: bool = True) -> Iterator[str]:
    """Modules of the package that `name` imports, also inside functions and under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    here = name.split(".")[:-1]
    for node in ast.walk(tree) if late else tree.body:
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                for candidate in (f"{target}.{alias.name}", f"{target}.{alias.name}.__init__"):
                    if candidate in known:
                        yield candidate
                        break
                else:
                    for candidate in (target, f"{target}.__init__"):
                        if candidate in known:
                            yield candidate
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def part(name: str) -> str:
    """The first-level part of the package that a module is in."""
    return name.split(".")[1]


def test_folders_import_only_what_stands_below_them() -> None:
    known = modules()
    wrong = {
        f"{name} -> {target}"
        for name, path in known.items()
        for target in imports(name, path, known)
        if part(name) != part(target) and LEVEL[part(target)] >= LEVEL[part(name)]
    }
    assert not wrong


def test_modules_form_no_circles() -> None:
    known = modules()
    below = {name: set(imports(name, path, known)) - {name} for name, path in known.items()}
    while ready := [name for name, targets in below.items() if not targets & below.keys()]:
        for name in ready:
            del below[name]
    assert not below


def test_no_folder_imports_a_private_name_of_another() -> None:
    wrong = set()
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level > 1:
                wrong |= {f"{name}: {alias.name}" for alias in node.names if alias.name.startswith("_")}
    assert not wrong


def test_nothing_heavy_is_imported_at_module_level() -> None:
    wrong = {}
    for name, path in modules().items():
        if part(name) in ("webapp", "trainer_callbacks"):  # nothing without their toolkits
            continue
        names = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add((node.module or "").split(".")[0])
        if names & HEAVY:
            wrong[name] = names & HEAVY
    assert not wrong


def test_every_first_level_part_has_a_layer_and_they_are_few() -> None:
    parts = {part(name) for name in modules()}
    assert parts <= LEVEL.keys()
    folder = ROOT / "entp_hf"
    inside = [p for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    assert len(inside) - len(RESOURCES) <= 27
