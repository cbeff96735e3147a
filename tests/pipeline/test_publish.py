"""Pushing to a Hub on localhost, through the real client: what arrives, loads again, and is said when it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from example_run import manifest, rows
from huggingface_hub import DatasetCard
from local_hub import LocalHub

from entp_hf.pipeline.result import Result

LOAD = """
import json, sys
from datasets import load_dataset
assert "entp_hf" not in sys.modules
found = {name: load_dataset("ann/mixed", name, split="train", cache_dir="cache") for name in %r}
print(json.dumps({name: [len(rows), rows.column_names[:2], rows[0]["id"]] for name, rows in found.items()}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    kept, dropped = rows(made=12)
    found = manifest()
    found["dataset"]["preference"] = 3
    found["config"]["source_licenses"] = ["cc-by-sa-3.0"]
    return Result(kept, dropped, found, kept.select(range(3))).save(tmp_path_factory.mktemp("run") / "out")


PUSHES = """
import json, sys
from entp_hf.errors import EntpError
from entp_hf.pipeline import publish
from entp_hf.pipeline.publish import push_folder
publish.FIRST_WAIT = 0.05
for line in sys.stdin:
    try:
        print(json.dumps({"tag": push_folder(**json.loads(line)).tag}), flush=True)
    except EntpError as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
"""


@pytest.fixture(scope="module")
def server():
    with LocalHub() as server:
        yield server


@pytest.fixture
def hub(server):
    server.reset()
    return server


@pytest.fixture(scope="module")
def push(server, tmp_path_factory):
    """`push_folder` in a process of its own: the client reads its endpoint when it is imported."""
    env = {**os.environ, **server.env(), "HF_HOME": str(tmp_path_factory.mktemp("hf"))}
    command = [sys.executable, "-c", PUSHES]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def call(folder, repo_id="ann/mixed", **options):
            print(json.dumps({"folder": str(folder), "repo_id": repo_id, **options}), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield call
        process.stdin.close()


def entp(hub: LocalHub, cwd: Path, *arguments: str) -> subprocess.CompletedProcess:
    env = {**os.environ, **hub.env(), "HF_HOME": str(cwd / "hf"), "COLUMNS": "200"}
    command = [sys.executable, "-c", "from entp_hf.cli.app import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def python(hub: LocalHub, cwd: Path, code: str) -> str:
    env = {**os.environ, **hub.env(), "HF_HOME": str(cwd / "hf")}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_pushed_loads_without_this_package(hub, folder, tmp_path):
    done = entp(hub, tmp_path, "push", str(folder), "ann/mixed", "--private", "--collection", "Repaired rows")
    assert done.returncode == 0, done.stderr
    repo = hub.dataset("ann/mixed")
    assert repo.private
    assert {
        "README.md",
        "manifest.json",
        "config.yaml",
        "report.html",
        "data/train.parquet",
        "dropped/train.parquet",
        "preference/train.parquet",
        "plots/rows.svg",
    } <= set(repo.files)
    card = DatasetCard(repo.files["README.md"].decode())
    assert card.data.license == "cc-by-sa-3.0" and "# ann/mixed" in card.text
    assert list(repo.tags) == [done.stdout.split("revision is ")[1].split(".")[0]]
    found = json.loads(python(hub, tmp_path, LOAD % (["default", "dropped", "preference"],)))
    assert [found[name][0] for name in found] == [20, 37, 3]
    (collection,) = hub.collections.values()
    assert [entry["id"] for entry in collection["items"]] == ["ann/mixed"]

    commits, uploads = len(repo.commits), hub.seen.total()
    again = entp(hub, tmp_path, "push", str(folder), "ann/mixed", "--private", "--collection", "Repaired rows")
    assert again.returncode == 0, again.stderr
    assert len(repo.commits) == commits and hub.seen.total() > uploads
    assert len(hub.collections) == 1 and len(collection["items"]) == 1


def test_another_recipe_has_another_tag_and_leaves_nothing_of_the_old(hub, push, folder, tmp_path):
    first = push(folder)["tag"]
    kept, dropped = rows(made=3)
    other = manifest(dataset={"rows": 3, "by_origin": {}, "dropped": 10, "dropped_by": {}, "preference": 0})
    second = push(Result(kept, dropped, other).save(tmp_path / "other"))["tag"]
    repo = hub.dataset("ann/mixed")
    assert set(repo.tags) == {first, second} and first != second
    assert "preference/train.parquet" not in repo.files
    old, new = (repo.at(tag)[1]["data/train.parquet"] for tag in (first, second))
    assert old != new


FAULTS = {
    "no such token": ({"token": "hf_wrong"}, None, "answers 401", "hf auth login"),
    "foreign owner": ({"token": "hf_bob"}, None, "answers 403", "may not write to ann"),
    "busy for long": ({}, ("POST", "/commit/", 429, 9, {"Retry-After": "900"}), "answers 429", "asks to wait 900 s"),
    "always conflict": ({}, ("POST", "/commit/", 409, 9), "answers 409", "push again"),
    "always failing": ({}, ("POST", "/commit/", 500, 9), "answers 500", "push again"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_refusals_are_told_in_words(hub, push, folder, name):
    options, fault, *words = FAULTS[name]
    if fault:
        hub.fail(*fault)
    error = push(folder, **options)["error"]
    assert error.startswith("HubError: ")
    for word in words:
        assert word in error
    assert options.get("token", "hf_ann") not in error


def test_passing_faults_are_waited_out(hub, push, folder):
    hub.cut("PUT", "/upload/")
    hub.fail("POST", "/commit/", 503)
    hub.fail("POST", "/commit/", 409)
    hub.fail("POST", "/tag/", 429, headers={"Retry-After": "0"})
    tag = push(folder)["tag"]
    assert "data/train.parquet" in hub.dataset("ann/mixed").files
    assert list(hub.dataset("ann/mixed").tags) == [tag]


def test_a_broken_upload_goes_on_where_it_stopped(hub, push, folder):
    hub.fail("POST", "/commit/", 500, times=9)
    assert "error" in push(folder)
    assert len([path for path in hub.seen if path.startswith("PUT")]) == 3
    hub.faults.clear()
    hub.seen.clear()
    assert "tag" in push(folder)
    assert not [path for path in hub.seen if path.startswith("PUT")]


def test_a_public_dataset_is_not_taken_for_private(hub, push, folder):
    hub.add("dataset", "ann/open", {"a.txt": b"a"})
    assert "is public" in push(folder, "ann/open", private=True)["error"]
    assert set(hub.dataset("ann/open").files) == {"a.txt"}


@pytest.mark.parametrize("name", ["ann/", "../etc/passwd", "ann/a--b", "ann/x.git", "a/b/c", "-a/b"])
def test_names_are_checked_before_anything_is_sent(hub, push, folder, name):
    assert "is no name on the Hub" in push(folder, name)["error"]
    assert not hub.seen


def test_a_card_that_the_hub_refuses_leaves_no_repository(hub, push, tmp_path):
    kept, dropped = rows(made=2)
    found = manifest()
    found["config"]["source_licenses"] = ["cc-by-sa-3.0"]
    folder = Result(kept, dropped, found).save(tmp_path / "out")
    code = "from pathlib import Path\nfrom entp_hf.pipeline.publish import check_card\n"
    card = tmp_path / "README.md"
    card.write_text("---\nlanguage: [zh-CN]\n---\n# x\n")
    code += f"from entp_hf.errors import HubError\ntry:\n    check_card(Path({str(card)!r}), 'ann/x')\n"
    code += "except HubError as error:\n    print(error)"
    told = python(hub, tmp_path, code)
    assert "refuses the card's metadata" in told and '"language" must be' in told and "nothing was made" in told
    assert "tag" in push(folder, "ann/fine")
    paths = list(hub.seen)
    assert paths.index("POST /api/validate-yaml") < paths.index("POST /api/repos/create")


def test_a_dataset_that_exists_needs_no_right_to_make_one(hub, push, folder):
    push(folder, "ann/mixed")
    hub.seen.clear()
    assert "tag" in push(folder, "ann/mixed")
    assert "POST /api/repos/create" not in hub.seen


def test_branches_and_pull_requests(hub, push, folder):
    push(folder, "ann/mixed")
    before = dict(hub.dataset("ann/mixed").files)
    hub.dataset("ann/mixed").commit({})  # so that there is something to change
    done = push(folder, "ann/mixed", create_pr=True)
    assert done["tag"] == "refs/pr/1"
    assert hub.dataset("ann/mixed").files == {} and set(hub.dataset("ann/mixed").pulls[0]) == set(before)
    push(folder, "ann/mixed", revision="trial", commit_message="A trial")
    assert set(hub.dataset("ann/mixed").branches["trial"]) == set(before)
    assert hub.dataset("ann/mixed").files == {}


def test_what_is_no_run_is_refused(hub, push, tmp_path):
    assert "InputError" in (error := push(tmp_path)["error"]) and "no manifest.json there" in error
    assert not hub.seen


def test_the_sources_licence_comes_from_its_card(hub, tmp_path):
    card = b"---\nlicense: cc-by-nc-4.0\nlanguage: [en, zh]\n---\n"
    text = b"".join(
        json.dumps({"instruction": f"Say {i}.", "output": f"It is {i}."}).encode() + b"\n" for i in range(9)
    )
    hub.add("dataset", "bob/pool", {"README.md": card, "train.jsonl": text})
    code = """
import json
from entp_hf.config import EntpConfig
from entp_hf.io.reader import read_rows
print(json.dumps(read_rows("bob/pool", EntpConfig())[1]["files"]))
"""
    (file,) = json.loads(python(hub, tmp_path, code))
    assert (file["license"], file["languages"], file["rows"]) == ("cc-by-nc-4.0", ["en", "zh"], 9)


def test_result_and_plain_dataset_push_themselves(hub, tmp_path):
    code = """
import sys
sys.path.insert(0, %r)
import entp_hf
from entp_hf.data import pool_files
given = dict(raters=[], pool="all", fuser="none", limit=30, target_size=20)
rows = entp_hf.load_dataset("entp", data_files=pool_files()[0], split="train", cache_dir="cache", **given)
rows.push_to_hub("ann/made", private=True)
rows.select(range(3)).push_to_hub("ann/plain")
print("commit of", rows.push_to_hub("told", commit_message="with a message").oid)
assert rows.rename_column("notes", "remarks").run_folder() is None
result = entp_hf.run(pool_files()[0], entp_hf.EntpConfig(**given))
print(result.push_to_hub("ann/whole", private=True).tag)
"""
    tag = python(hub, tmp_path, code % str(Path(__file__).parents[2])).split()[-1]
    assert hub.dataset("ann/whole").tags.keys() == {tag} and hub.dataset("ann/whole").private
    assert hub.dataset("ann/made").private and set(hub.dataset("ann/made").files) == set(
        hub.dataset("ann/whole").files
    )
    assert hub.dataset("ann/made").tags.keys() == {tag}
    assert "manifest.json" in hub.dataset("ann/told").files  # with a message, and without an owner in the name
    assert {name.split(".")[-1] for name in hub.dataset("ann/plain").files} <= {"parquet", "md", "gitattributes"}


def test_the_app_becomes_a_space(hub, tmp_path):
    pytest.importorskip("gradio", reason="the app needs the extra `space`")
    done = entp(hub, tmp_path, "space", "deploy", "ann/entp", "--private")
    assert done.returncode == 0, done.stderr
    repo = hub.repos["space", "ann/entp"]
    assert repo.private and {"README.md", "app.py", "requirements.txt"} <= set(repo.files)
    assert {"entp_hf/cards/space.md", "entp_hf/webapp/style.css", "entp_hf/builders/entp.py"} <= set(repo.files)
    needs = repo.files["requirements.txt"].decode().split()
    assert any(need.startswith("torch") for need in needs) and not any(need.startswith("entp") for need in needs)
    for name, data in repo.files.items():
        (tmp_path / "space" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "space" / name).write_bytes(data)
    code = "import app, entp_hf, entp_hf.webapp.jobs.worker; print(entp_hf.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "space", capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.startswith(str(tmp_path)), ran.stderr

    again = entp(hub, tmp_path, "space", "deploy", "ann/entp", "--private", "--from-index")
    assert again.returncode == 0, again.stderr
    shipped = Path(__file__).parents[2] / "space"
    for path in shipped.iterdir():
        if path.is_file():
            assert repo.files[path.name].decode() == path.read_text(encoding="utf-8"), path.name
