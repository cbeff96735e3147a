"""Directions of import: a folder imports only what stands earlier in LAYERS; nothing heavy is imported on import."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import house
from house import LEVEL, ROOT, circles, first_level, graph, modules, part, upward

HEAVY = {
    "torch", "transformers", "sentence_transformers", "trl", "peft", "lm_eval", "faiss", "gradio", "ray", "matplotlib",
}  # fmt: skip


def test_folders_import_only_what_stands_below_them() -> None:
    assert not upward(graph(modules()))


def test_modules_form_no_circles() -> None:
    assert not circles(graph(modules()))


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
    assert len(first_level()) <= 27


def test_fmt_skip_stands_on_literal_tables_alone() -> None:
    wrong = {name: found for name, path in modules().items() if (found := house.skips(path)[1])}
    assert not wrong


SOURCES = {
    "entp_hf/__init__.py": "",
    "entp_hf/errors.py": "",
    "entp_hf/config.py": "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from .io import reader\n",
    "entp_hf/io/__init__.py": "",
    "entp_hf/io/reader.py": "from ..errors import A\n"
    "from ..config import B\nT = {1: 2}  # fmt: skip\nf(1)  # fmt: skip\n",
    "entp_hf/text/one.py": "def late():\n    from . import two\n",
    "entp_hf/text/two.py": "from .one import late\n",
    "entp_hf/text/__init__.py": "",
    "entp_hf/data/__init__.py": "",
    "cards/__init__.py": "from ..io import reader\n",
    "tests/test_a.py": "a = 1\nb = 2\n",
}  # fmt: skip


def test_the_figures_of_the_structure_are_counted(tmp_path: Path) -> None:
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    script = ROOT / "benchmarks" / "house.py"
    done = subprocess.run(
        [sys.executable, script, "--repo", tmp_path, "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {
        "first_level": 5,  # __init__, errors, config, io, text; data holds files alone
        "circles": [2, 2],  # config and io.reader by a type-only import, the two texts by a late one
        "circles_at_run_time": [2],
        "upward_imports": 1,  # config -> io
        "fmt_skip_tables": 1,
        "fmt_skip_others": 1,
        "lines": 12,
        "tests_lines": 2,
        "benchmarks_lines": 0,
        "modules": 10,
        "longest_module": 4,
    }


def test_a_checkout_with_unknown_parts_has_no_count_of_upward_imports(tmp_path: Path) -> None:
    (tmp_path / "entp_hf").mkdir()
    (tmp_path / "entp_hf" / "corpus.py").write_text("from .mix import mix\n", encoding="utf-8")
    assert house.figures(tmp_path)["upward_imports"] is None


def test_the_flow_of_the_configuration_is_followed_through_a_run() -> None:
    found = house.flow()
    assert 8 <= found["config_parts"] <= 13 and found["config_parts"] < found["config_moves"] <= 45
