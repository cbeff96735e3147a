"""Files of the Space, and their upload to the Hub."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..cards import space_card
from ..errors import HubError
from ..pipeline.publish import check_name, in_words

MAPPED = ("builders", "cards", "trainer_callbacks")  # parts of the package that lie elsewhere in a checkout
APP = '''"""The Space's program: everything is in the package."""

from entp_hf.webapp.app import serve

if __name__ == "__main__":
    serve(host="0.0.0.0", port=7860)
'''


def space_files(requirements: str) -> dict[str, str]:
    """What stands in `space/`: card, program and requirements."""
    return {"README.md": space_card(gradio_version()), "app.py": APP, "requirements.txt": requirements}


def gradio_version() -> str:
    """The version that is installed here: what the app was tried with."""
    return importlib.metadata.version("gradio")


def published() -> str:
    """Requirements of a Space that takes this package from the index."""
    return f"entp-hf[space]=={version('entp-hf')}\n"


def bundled() -> str:
    """Requirements of a Space that holds this package itself: what it depends on, extras of the app included."""
    found = []
    for line in importlib.metadata.requires("entp-hf") or []:
        need, _, marker = line.partition(";")
        extras = re.findall(r"extra == ['\"]([\w-]+)['\"]", marker)
        if (not extras or set(extras) & {"models", "space"}) and not need.startswith(("entp-hf", "gradio")):
            found.append(need.strip())
    return "\n".join(dict.fromkeys(found)) + "\n"


def package_files() -> dict[str, bytes]:
    """The package as it is installed here, by path; mapped folders at their place in it."""
    roots = [("entp_hf", Path(str(resources.files("entp_hf"))))]
    for name in MAPPED:
        roots.append((f"entp_hf/{name}", Path(next(iter(importlib.import_module(f"entp_hf.{name}").__path__)))))
    found: dict[str, bytes] = {}
    for place, root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                found[f"{place}/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    return found


def deploy(repo_id: str, private: bool = False, from_index: bool = False, token: str | None = None) -> str:
    """Make or renew the Space `repo_id`; returns its address. Raises HubError.

    The package goes along, unless `from_index` says that the Space shall install it as anyone would.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    check_name(repo_id)
    files: dict[str, Any] = {name: text.encode() for name, text in space_files(published()).items()}
    if not from_index:
        files |= {"requirements.txt": bundled().encode(), **package_files()}
    api = HfApi(token=token)
    with in_words(repo_id):
        url = api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        if private and not api.repo_info(repo_id, repo_type="space").private:
            raise HubError(f"{repo_id} is there already and is public; make it private in its settings first")
        operations = [CommitOperationAdd(name, data) for name, data in files.items()]
        api.create_commit(repo_id, operations, commit_message=f"entp-hf {version('entp-hf')}", repo_type="space")
    return str(url)
