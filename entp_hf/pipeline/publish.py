"""Push a run's folder to the Hub as a dataset with its card, manifest, recipe and report."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..cards import dataset_card
from ..errors import HubError, InputError
from ..io.manifest import Manifest
from ..io.parquet import read_written
from ..llm.http import retry_after, scrub

Made = TypeVar("Made")
FILES = ("README.md", "manifest.json", "config.yaml", "report.html", "plots/*.svg", "*/train.parquet")
ROWS = ("data", "dropped", "preference")  # folders of a run's folder that hold rows
# Not in the paper:
TRIES = 4  # of what may go better a second time
FIRST_WAIT = 0.5  # seconds before the second try, doubled for each further one
LONGEST_WAIT = 60.0  # seconds; a Hub that asks for more is reported instead
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/(?!.*(--|\.\.))[A-Za-z0-9][\w.-]{0,95}(?<!\.git)(?<![.-])")


@dataclass(frozen=True)
class Published:
    """Where it is: `tag` names the recipe and the rows, so that it stays when something else is pushed later."""

    repo_id: str
    url: str
    commit: str
    tag: str


def push_folder(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    token: str | None = None,
    collection: str = "",
    commit_message: str = "",
    revision: str = "",
    create_pr: bool = False,
    resource_group: str = "",
) -> Published:
    """Push the folder that `entp build` or `Result.save` wrote to the Hub as a dataset.

    A second push of the same folder changes nothing, and one that was broken off goes on: files that are there
    already are not sent again. The card is checked by the Hub before a repository is made.

    Args:
        folder: the folder.
        repo_id: OWNER/NAME; a NAME alone is put under the login's own name.
        private: whether the dataset is private, if it has to be made.
        token: token of the Hub; None: the login of this machine.
        collection: title of a collection of the owner that the dataset is put into; made if absent.
        commit_message: message of the commit; "": one of this package.
        revision: branch to push to; "": main. Made if absent.
        create_pr: whether to open a pull request instead of a commit.
        resource_group: id of a resource group of an organisation, for a dataset that has to be made.

    Raises InputError for a folder that is no run's, HubError for everything that the Hub refuses.
    """
    from huggingface_hub import HfApi

    folder = Path(folder)
    _check_folder(folder)
    api = HfApi(token=token)
    with in_words(repo_id, private):
        if "/" not in repo_id:
            repo_id = f"{_patiently(lambda: api.whoami())['name']}/{repo_id}"
    check_name(repo_id)
    with in_words(repo_id, private):
        write_card(folder, repo_id)
        check_card(folder / "README.md", repo_id, token)
        url = _repository(api, repo_id, private, resource_group)
        if revision and not create_pr:
            _patiently(lambda: api.create_branch(repo_id, branch=revision, repo_type="dataset", exist_ok=True))
        commit = _patiently(lambda: _upload(api, folder, repo_id, commit_message, revision, create_pr))
        tag = f"recipe-{fingerprint(folder)}"
        if create_pr:
            return Published(repo_id, str(commit.pr_url or url), commit.oid, str(commit.pr_revision or ""))
        _patiently(lambda: api.create_tag(repo_id, tag=tag, revision=commit.oid, repo_type="dataset", exist_ok=True))
        if collection:
            owner = repo_id.split("/")[0]
            made = _patiently(lambda: _collection(api, owner, collection, private))
            _patiently(lambda: api.add_collection_item(made, repo_id, "dataset", exists_ok=True))
    return Published(repo_id, url, commit.oid, tag)


def check_card(card: Path, repo_id: str, token: str | None = None) -> None:
    """Raise HubError with the field that the Hub's validator refuses, before anything is made there."""
    from huggingface_hub import DatasetCard

    try:
        _patiently(lambda: DatasetCard.load(card, ignore_metadata_errors=True).validate(repo_type="dataset"))
    except ValueError as error:
        said = _card_errors(str(error))
        raise HubError(
            f"{repo_id}: the Hub refuses the card's metadata: {said}. Mend the field in the settings or sources; "
            "nothing was made on the Hub"
        ) from error


def _card_errors(text: str) -> str:
    """The messages in the validator's answer, which the client hands over as JSON or as lines."""
    try:
        return "; ".join(str(entry["message"]) for entry in json.loads(text)["errors"])
    except (ValueError, KeyError, TypeError):
        return " ".join(text.replace("- Error:", "").split())


def _repository(api: Any, repo_id: str, private: bool, resource_group: str) -> str:
    """Address of the dataset, which is made if it is not there: one that exists needs no right to make it."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = _patiently(lambda: api.repo_info(repo_id, repo_type="dataset"))
    except RepositoryNotFoundError:
        given = {"resource_group_id": resource_group} if resource_group else {}
        return str(
            _patiently(lambda: api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True, **given))
        )
    if private and not found.private:
        raise HubError(
            f"{repo_id} is there already and is public, so it can't be pushed as private; make it private in its "
            "settings, or choose another name"
        )
    return f"{api.endpoint}/datasets/{repo_id}"


def check_name(repo_id: str) -> None:
    """Raise HubError unless it is owner/name, as the Hub allows them."""
    if not _NAME.fullmatch(repo_id):
        raise HubError(
            f"{repo_id!r} is no name on the Hub; give OWNER/NAME, each of at most 96 letters, digits, '-', '_' and '.'"
        )


def _check_folder(folder: Path) -> None:
    for name in ("manifest.json", "config.yaml", "data/train.parquet"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: no {name} there; give a folder that `entp build` wrote")


def write_card(folder: Path, repo_id: str) -> None:
    """Write README.md again, now that the dataset has a name."""
    manifest = Manifest.load(folder / "manifest.json")
    plots = [path.name for path in sorted((folder / "plots").glob("*.svg"))]
    kept, dropped, preference = (_rows(folder, part) for part in ROWS)
    card = dataset_card(manifest, kept, dropped, name=repo_id, plots=plots, preference=preference)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _rows(folder: Path, part: str) -> Any:
    path = folder / part / "train.parquet"
    return read_written(path) if path.is_file() else None


def fingerprint(folder: Path) -> str:
    """12 hex digits over recipe and rows: equal for the same folder, different for whatever was made otherwise."""
    digest = hashlib.sha256((folder / "config.yaml").read_bytes())
    for part in ROWS:
        path = folder / part / "train.parquet"
        if path.is_file():
            with path.open("rb") as file:
                digest.update(part.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _upload(
    api: Any, folder: Path, repo_id: str, commit_message: str = "", revision: str = "", create_pr: bool = False
) -> Any:
    return api.upload_folder(
        revision=revision or None,
        create_pr=create_pr,
        repo_id=repo_id,
        repo_type="dataset",
        folder_path=folder,
        allow_patterns=list(FILES),
        delete_patterns=[*(f"{part}/*" for part in ROWS), "plots/*"],  # what an earlier, other run left
        commit_message=commit_message or "Dataset made with entp-hf",
    )


def _collection(api: Any, owner: str, title: str, private: bool) -> str:
    for found in api.list_collections(owner=owner):
        if found.title == title:
            return str(found.slug)
    return str(api.create_collection(title, namespace=owner, private=private, exists_ok=True).slug)


def _patiently(act: Callable[[], Made]) -> Made:
    """Do it again after 429, 409, 5xx and broken connections: everything that we do can be done twice."""
    for number in range(1, TRIES):
        try:
            return act()
        except Exception as error:
            status, _, wait = _facts(error)
            if status not in (0, 409, 412, 429) and status < 500 or wait > LONGEST_WAIT or not _is_hubs(error):
                raise
            time.sleep(max(wait, FIRST_WAIT * 2 ** (number - 1)))
    return act()


def _cause(error: BaseException) -> BaseException:
    """The Hub's own error: the client wraps those of an upload in a RuntimeError."""
    return error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error


def _is_hubs(error: BaseException) -> bool:
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    return isinstance(_cause(error), HTTPError)


def _facts(error: BaseException) -> tuple[int, str, float]:
    """(status, what the Hub said, seconds that it asks to wait); status 0 where no answer came."""
    from huggingface_hub.errors import HfHubHTTPError

    cause = _cause(error)
    if not isinstance(cause, HfHubHTTPError):
        return 0, scrub(f"{type(cause).__name__}: {cause}", ""), 0.0
    said = scrub(cause.server_message or cause.response.reason_phrase, "")
    return cause.response.status_code, said, retry_after(cause.response.headers)


@contextmanager
def in_words(repo_id: str, private: bool = False) -> Iterator[None]:
    """Turn what the Hub's client raises inside into a HubError that says what to do."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise HubError("HF_HUB_OFFLINE is set; unset it to push to the Hub") from error
    except Exception as error:
        if not _is_hubs(error):
            raise
        status, said, wait = _facts(error)
        raise HubError(_way_out(status, said, wait, repo_id)) from error


def _way_out(status: int, said: str, wait: float, repo_id: str) -> str:
    owner = repo_id.split("/")[0]
    again = "push again: it goes on where it stopped"
    if status == 0:
        return f"the Hub can't be reached, or broke the connection off ({said}); check the network, then {again}"
    head = f"{repo_id}: the Hub answers {status} ({said})"
    if status == 401:
        return f"{head}; log in with `hf auth login`, or set HF_TOKEN to a token that may write"
    if status == 403:
        return f"{head}; the token may not write to {owner}: use one with write access, or another owner"
    if status == 404:
        return f"{head}; check the name, and that the token may see it"
    if status in (409, 412):
        return f"{head}; someone else changed the repository meanwhile: {again}"
    if status == 429:
        return f"{head}, too many requests{f'; it asks to wait {wait:.0f} s' if wait else ''}; wait, then {again}"
    if status >= 500:
        return f"{head}, a fault of the Hub's own; wait a few minutes, then {again}"
    return f"{head}; nothing more could be done about it"
