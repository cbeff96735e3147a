"""The documents: every file that they name is there, and the page on the architecture names every folder."""

import re
from pathlib import Path

import pytest
from house import MAPPED, RESOURCES, first_level

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CODE = re.compile(r"`((?:entp_hf|builders|cards|trainer_callbacks|benchmarks|tests|space)/[\w./]*)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    absent = [name for name in CODE.findall(text) if not (ROOT / name).exists()]
    absent += [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not absent


def test_every_module_that_a_page_names_is_there() -> None:
    wrong = set()
    for page in PAGES:
        for name in re.findall(r"\bfrom (entp_hf[\w.]*) import|-m (entp_hf[\w.]*)", page.read_text(encoding="utf-8")):
            module = "".join(name).removeprefix("entp_hf").strip(".").replace(".", "/")
            homes = [ROOT / "entp_hf" / module, ROOT / module, ROOT / "entp_hf" / f"{module}.py"]
            if not any(home.exists() for home in homes):
                wrong.add(f"{page.name}: {''.join(name)}")
    assert not wrong


def test_the_architecture_page_names_every_folder_and_only_files_that_exist() -> None:
    folders = {
        name for name in [*first_level(), *MAPPED, *RESOURCES] if not (ROOT / "entp_hf" / f"{name}.py").exists()
    }
    assert not {name for name in folders if not re.search(rf"\b{name}\b", ARCHITECTURE)}
    named = re.findall(r"`((?:\w+/)+[\w.]*|\w+\.py)`", ARCHITECTURE)
    siblings = {path.name for path in (ROOT / "entp_hf").rglob("*.py")}
    absent = [
        name
        for name in named
        if not (ROOT / name).exists() and not (ROOT / "entp_hf" / name).exists() and name not in siblings
    ]
    assert len(named) > 40 and not absent
