"""Figures of the package's structure, read from its sources; with `--flow` also from one run.

    python benchmarks/house.py [--repo DIR] [--flow] [--json]

`--repo` is any checkout, so that an old commit can be measured by the same rules. tests/test_directions.py tests the
directions of import by the functions here.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MAPPED = ("builders", "cards", "trainer_callbacks")  # folders of the top level that install inside entp_hf
RESOURCES = ("data", "prompts", "templates")  # folders of files, without code

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
    ["__main__", "sft"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules(repo: Path = ROOT) -> dict[str, Path]:
    """Dotted name to file, for every module of the package."""
    found = {}
    for folder in ("entp_hf", *MAPPED):
        for path in sorted((repo / folder).rglob("*.py")):
            parts = path.relative_to(repo).with_suffix("").parts
            found[".".join(("entp_hf", *parts) if parts[0] in MAPPED else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path], type_only: bool = True) -> Iterator[str]:
    """Modules of `known` that the module `name` imports, also inside functions.

    Args:
        name: dotted name of the module.
        path: its file.
        known: the package's modules, as `modules` gives them.
        type_only: whether imports under `if TYPE_CHECKING` count.
    """
    here = name.split(".")[:-1]
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), type_only):
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                below = (f"{target}.{alias.name}", f"{target}.{alias.name}.__init__")
                match = next((candidate for candidate in below if candidate in known), None)
                candidates = [match] if match else [target, f"{target}.__init__"]
                yield from (candidate for candidate in candidates if candidate in known)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def _nodes(node: ast.AST, type_only: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not type_only and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _nodes(child, type_only)


def part(name: str) -> str:
    """The first-level part of the package that a module is in."""
    return name.split(".")[1]


def graph(known: dict[str, Path], type_only: bool = True) -> dict[str, set[str]]:
    """The modules that each module imports, itself left out."""
    return {name: set(imports(name, path, known, type_only)) - {name} for name, path in known.items()}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import one another in a circle (strongly connected, two and more), largest first."""
    reach = {name: _reachable(name, edges) for name in edges}
    found, seen = [], set()
    for name in edges:
        if name not in seen and name in reach[name]:
            circle = sorted(other for other in reach[name] if name in reach[other])
            seen |= set(circle)
            found.append(circle)
    return sorted(found, key=len, reverse=True)


def _reachable(name: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(edges[name])
    while todo:
        target = todo.pop()
        if target not in found:
            found.add(target)
            todo += edges[target]
    return found


def upward(edges: dict[str, set[str]]) -> list[str]:
    """Imports of a part on the same or a higher layer; of parts that `LAYERS` does not name nothing is said."""
    return [
        f"{name} -> {target}"
        for name, targets in edges.items()
        for target in sorted(targets)
        if part(name) != part(target) and part(name) in LEVEL and LEVEL.get(part(target), -1) >= LEVEL[part(name)]
    ]


def first_level(repo: Path = ROOT) -> list[str]:
    """Modules and packages at the first level of `entp_hf`, folders of files left out."""
    folder = repo / "entp_hf"
    inside = [path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    return sorted(path.stem for path in inside if path.name not in RESOURCES)


def skips(path: Path) -> tuple[int, int]:
    """`# fmt: skip` marks of a file: those after a literal table that is assigned, and the others."""
    text = path.read_text(encoding="utf-8")
    lines = {number for number, line in enumerate(text.splitlines(), 1) if "# fmt: skip" in line}
    literal = (ast.Dict, ast.List, ast.Tuple, ast.Set)
    tables = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            value = node.value.args[0] if isinstance(node.value, ast.Call) and node.value.args else node.value
            if isinstance(value, literal):
                tables.add(node.end_lineno)
    return len(lines & tables), len(lines - tables)


def figures(repo: Path = ROOT) -> dict[str, Any]:
    """The structure of a checkout.

    Args:
        repo: the checkout's folder.

    Returns:
        first_level: modules and packages at the first level of `entp_hf`.
        circles: files of each circle of imports, late and type-only imports counted; `circles_at_run_time` without
            the type-only ones.
        upward_imports: imports from a lower layer to the same or a higher one, null where the checkout has parts
            that `LAYERS` does not name.
        fmt_skip_tables, fmt_skip_others: marks in the package on literal tables and elsewhere.
        lines: lines of Python outside tests and benchmarks; `tests_lines` and `benchmarks_lines`.
        longest_module: lines of the longest module.
    """
    known = modules(repo)
    edges = graph(known)
    placed = {part(name) for name in known} <= LEVEL.keys()
    marks = [skips(path) for path in known.values()]
    sizes = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in known.items()}
    return {
        "first_level": len(first_level(repo)),
        "circles": [len(circle) for circle in circles(edges)],
        "circles_at_run_time": [len(circle) for circle in circles(graph(known, type_only=False))],
        "upward_imports": len(upward(edges)) if placed else None,
        "fmt_skip_tables": sum(tables for tables, _ in marks),
        "fmt_skip_others": sum(others for _, others in marks),
        "lines": sum(sizes.values()) + _lines(repo / "space"),
        "tests_lines": _lines(repo / "tests"),
        "benchmarks_lines": _lines(repo / "benchmarks"),
        "modules": len(known),
        "longest_module": max(sizes.values()),
    }


def _lines(folder: Path) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))


# Run in a process of its own: every call of a function of the package that is handed the configuration is noted, with
# the part that it is in. The folders of the top level that install inside the package are found beside it.
_RUN = """
import importlib.util, json, sys
from collections import deque
from pathlib import Path

repo, pool, mapped = Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(",")
sys.path.insert(0, str(repo))

class Mapped:
    def find_spec(self, name, path=None, target=None):
        folder = name.removeprefix("entp_hf.")
        if name != folder and folder in mapped:
            where = repo / folder
            return importlib.util.spec_from_file_location(
                name, where / "__init__.py", submodule_search_locations=[str(where)])

sys.meta_path.insert(0, Mapped())
import entp_hf
from entp_hf.config import EntpConfig
config = EntpConfig(raters=["column"], rating_columns=["rating"], fuser="mosaic", target_size=40)
entered = []

def note(frame, event, argument):
    if event == "call":
        module = frame.f_globals.get("__name__") or ""
        if module.startswith("entp_hf."):
            code = frame.f_code
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            if any(isinstance(frame.f_locals.get(name), EntpConfig) for name in names):
                if code.co_name != "<lambda>":
                    entered.append(module.split(".")[1])

sys.setprofile(note)
from entp_hf import run
run([pool], config)
sys.setprofile(None)
moves = sum(a != b for a, b in zip(entered, entered[1:]))
print(json.dumps({"config_parts": len(set(entered)), "config_moves": moves}))
"""


def flow(repo: Path = ROOT) -> dict[str, int]:
    """First-level parts that the configuration enters in one small `run()`, and moves from one to another.

    The run is of 200 rows of the shipped pool, without a chat model: ratings from a column, composition without an
    LLM. Raises RuntimeError with the last line of what it said where it failed.
    """
    lines = (repo / "entp_hf" / "data" / "pool.jsonl").read_text(encoding="utf-8").splitlines()[:200]
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool.jsonl"
        rows = ({**json.loads(line), "rating": number % 6} for number, line in enumerate(lines))
        pool.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", _RUN, str(repo), str(pool), ",".join(MAPPED)],
            env={**os.environ, "ENTP_CACHE": folder, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"the run of {repo} failed: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the figures, a line each or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", type=Path, default=ROOT, help="a checkout; default: this one")
    parser.add_argument("--flow", action="store_true", help="also run the package once and follow its configuration")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    found = figures(args.repo) | (flow(args.repo) if args.flow else {})
    print(json.dumps(found) if args.json else "\n".join(f"{name} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
