"""The built wheel: one top-level package, everything in it that the program reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: the wheel would be built from whatever lies here")
    for name in listed.stdout.split("\n"):
        if name and not name.startswith(("tests/", "docs/")) and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_nothing_but_our_package_is_at_the_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"entp_hf", next(top for top in tops if top.endswith(".dist-info"))}
    sources = [
        *ROOT.glob("entp_hf/**/*"),
        *(p for d in ("builders", "cards", "trainer_callbacks") for p in (ROOT / d).rglob("*")),
    ]
    wanted = {
        path.relative_to(ROOT / "entp_hf" if "entp_hf" in path.relative_to(ROOT).parts else ROOT).as_posix()
        for path in sources
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    assert {f"entp_hf/{name}" for name in wanted} - set(names) == set()


def test_it_runs_where_the_checkout_is_not(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = """
import entp_hf, sys
from datasets import load_dataset
from entp_hf.data import pool_files
from entp_hf import cards, trainer_callbacks
for module in (entp_hf, cards, trainer_callbacks):
    assert module.__file__.startswith(sys.argv[1]), module.__file__
rows = load_dataset("entp", data_files=pool_files()[0], split="train", cache_dir="cache", raters=[], pool="all",
                    fuser="none", limit=30, target_size=20)
print(len(rows))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**__import__("os").environ, "PYTHONPATH": str(tmp_path / "site")},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 5
