"""The module and the commands of docs/extend.md run, from a working directory that only the command knows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset

from entp_hf.data import pool_files

PAGE = (Path(__file__).parent.parent / "docs" / "extend.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^entp (.*)", "\n".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.M | re.S)), re.M)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_each_command_runs_in_the_folder_of_the_module(command: str, tmp_path: Path) -> None:
    (module,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    (tmp_path / "my_parts.py").write_text(module, encoding="utf-8")
    lines = Path(pool_files()[0]).read_text(encoding="utf-8").splitlines()[:60]
    lines.append('{"instruction": "Say it loud.", "input": "", "output": "THIS IS AN ANSWER IN CAPITALS."}')
    (tmp_path / "pool.jsonl").write_text("\n".join(lines), encoding="utf-8")
    script = "import sys; sys.path.pop(0); from entp_hf.cli import main; main()"  # as the installed `entp`
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split()], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    out = tmp_path / command.split("-o ")[1].split()[0]
    assert out.is_dir()
    if command.startswith("purge"):
        rows = load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
        found = [f["rule"] for findings in rows["findings"] for f in findings]
        assert "shouting" in found


def test_the_page_names_each_kind() -> None:
    assert [command.split()[0] for command in COMMANDS] == ["purge", "build", "select"]
