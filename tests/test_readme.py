"""The README's Python code runs as pasted, and its commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import smollm2
from typer.testing import CliRunner

from entp_hf.cli.app import app
from entp_hf.rules.registry import DATASET_RULES, RULES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    made = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert {"demo", "test"} <= set(re.findall(r"^make (\w+)", README, re.M)) <= made


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_runs_as_pasted(number: int, tmp_path: Path) -> None:
    smollm2()
    for folder in ("entp_hf", "docs"):
        if (ROOT / folder).exists():
            (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "readme.py").write_text(blocks("python")[number], encoding="utf-8")
    done = subprocess.run([sys.executable, "readme.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_entp_command_and_flag_exists() -> None:
    for line in re.findall(r"^entp .*", "\n".join(blocks("console")), re.M):
        command, *rest = line.split("#")[0].split()[1:]
        helped = CliRunner().invoke(app, [command, "--help"])
        assert helped.exit_code == 0, line
        missing = [word for word in rest if word.startswith("--") and word not in helped.output]
        assert not missing, f"{line}: {missing}"


def test_it_counts_the_rules_right() -> None:
    assert f"PURGE: {len(RULES) + len(DATASET_RULES)} symbolic rules" in README


def test_the_pictures_are_there() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path


def test_the_pages_it_links_to_are_there() -> None:
    for path in re.findall(r"(?<!!)\[[^\]]*\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / path).is_file(), path
