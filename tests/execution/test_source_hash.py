"""The hash of the package's sources covers every folder, and is made again when a file of any of them changes."""

from pathlib import Path

import pytest

from entp_hf.execution.source_hash import SOURCES, source_folders, source_hash

FOLDERS = sorted(
    {path.parent for root in source_folders() for path in root.rglob("*") if path.suffix in SOURCES}, key=str
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_changed_file_in_any_folder_changes_the_hash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_hash.__wrapped__()
    changed = min(path for path in folder.iterdir() if path.suffix in SOURCES)
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: plain(path) + b"#" * (path == changed))
    assert source_hash.__wrapped__() != before


def test_prompts_templates_and_the_mapped_folders_are_among_them() -> None:
    names = {folder.name for folder in FOLDERS}
    assert {"prompts", "templates", "builders", "cards", "trainer_callbacks", "rules", "mix"} <= names
    assert source_hash.__wrapped__() == source_hash()
