"""Every test offline, with caches in a folder of the session.

Set ENTP_TEST_CACHE to a folder to keep converted models between sessions: the conversion takes 20 s.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Read on import by huggingface_hub, libgomp and tiny.py: a fixture would come too late.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
_FOLDER = Path(tempfile.mkdtemp(prefix="entp-tests-"))
os.environ["ENTP_CACHE"] = str(_FOLDER)
if os.environ.get("ENTP_TEST_CACHE"):
    models = Path(os.environ["ENTP_TEST_CACHE"], "models").resolve()
    models.mkdir(parents=True, exist_ok=True)
    (_FOLDER / "models").symlink_to(models, target_is_directory=True)


# A loaded machine is no failure of a property.
hypothesis.settings.register_profile("entp", deadline=None)
hypothesis.settings.load_profile("entp")


@pytest.fixture(scope="session", autouse=True)
def session_cache() -> Iterator[Path]:
    """The folder of $ENTP_CACHE; gone after the session, converted models in ENTP_TEST_CACHE aside."""
    yield _FOLDER
    shutil.rmtree(_FOLDER, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def ray_ends() -> Iterator[None]:
    """A cluster that tests started ends with them: what Ray has to say of workers it lost comes then, not at exit."""
    yield
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of the machine is used; waits are short. HF_HUB_OFFLINE stays set: a server that is named is called."""
    import huggingface_hub

    from entp_hf.llm import server as calls

    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", "/nonexistent")
    for name in ("ENTP_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(calls, "BACKOFF", 0.02)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
