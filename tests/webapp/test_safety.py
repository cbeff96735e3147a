"""What strangers may try on a hosted app: each test is an attempt."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import socket
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_run import manifest, rows
from fault_server import FaultServer

pytest.importorskip("gradio", reason="the app needs the extra `space`")

from entp_hf.errors import ConfigError, EntpError
from entp_hf.io.formats import detect_form
from entp_hf.io.manifest import Manifest
from entp_hf.io.reader import read_rows
from entp_hf.pipeline.result import Result
from entp_hf.schema import FEATURES, Finding, new_row
from entp_hf.webapp import inputs as given
from entp_hf.webapp.app import Door
from entp_hf.webapp.jobs import process as work
from entp_hf.webapp.jobs.runs import Run, Runs
from entp_hf.webapp.jobs.sandbox import Sandbox
from entp_hf.webapp.jobs.worker import swept
from entp_hf.webapp.pages import downloads, results, row_views, views
from entp_hf.webapp.security import requests as safety
from entp_hf.webapp.security.limits import HOSTED, LOCAL, Rates, Refused
from entp_hf.webapp.security.users import user_of
from entp_hf.webapp.settings import LAYOUTS, Form, make_config

LINE = json.dumps({"instruction": "Say a.", "output": "a"}) + "\n"
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>[x](javascript:alert(3)) **b** {{7*7}}"


@pytest.fixture
def area(tmp_path) -> Path:
    folder = tmp_path / "uploads"
    (folder / "abc").mkdir(parents=True)
    (folder / "abc" / "rows.jsonl").write_text(LINE)
    return folder


def refused(path, area, limits=HOSTED) -> str:
    with pytest.raises(Refused) as error:
        safety.check_upload(path, area, limits)
    return str(error.value)


def test_an_uploaded_file_is_taken(area):
    assert safety.check_upload(area / "abc" / "rows.jsonl", area, HOSTED).name == "rows.jsonl"


def test_paths_out_of_the_upload_area(area, tmp_path):
    secret = tmp_path / "secret.jsonl"
    secret.write_text(LINE)
    for path in (
        secret,
        area / ".." / "secret.jsonl",
        f"{area}/abc/../../secret.jsonl",
        "/etc/passwd.jsonl",
        "secret.jsonl",
    ):
        assert "uploaded here" in refused(path, area)


def test_links_in_the_upload_area(area, tmp_path):
    secret = tmp_path / "secret.jsonl"
    secret.write_text(LINE)
    (area / "abc" / "link.jsonl").symlink_to(secret)
    (area / "folder").symlink_to(tmp_path)
    assert "can't be opened" in refused(area / "abc" / "link.jsonl", area)
    assert "uploaded here" in refused(area / "folder" / "secret.jsonl", area)


def test_pipes_and_folders(area):
    os.mkfifo(area / "abc" / "pipe.jsonl")
    (area / "abc" / "folder.jsonl").mkdir()
    assert "no plain file" in refused(area / "abc" / "pipe.jsonl", area)
    assert "no plain file" in refused(area / "abc" / "folder.jsonl", area)


@pytest.mark.parametrize("name", ["x.pkl", "x.zip", "x.jsonl.gz", "x.tar", "x.py", "x", "x.parquet.exe", "x.arrow"])
def test_kinds_of_files(area, name):
    (area / "abc" / name).write_bytes(LINE.encode())
    assert "are not taken" in refused(area / "abc" / name, area)


def test_archives_and_pickles_under_other_names(area):
    pickled, packed = area / "abc" / "p.csv", area / "abc" / "z.jsonl"
    pickled.write_bytes(pickle.dumps({"a": 1}))
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("rows.jsonl", LINE)
    assert "archive or a program" in refused(pickled, area)
    assert "archive or a program" in refused(packed, area)
    (area / "abc" / "g.json").write_bytes(b"\x1f\x8b\x08\x00" + b"0" * 20)
    assert "archive or a program" in refused(area / "abc" / "g.json", area)
    (area / "abc" / "t.parquet").write_text(LINE)
    assert "not what its name says" in refused(area / "abc" / "t.parquet", area)


def test_sizes(area):
    small = dataclasses.replace(HOSTED, bytes=10)
    assert "at most 0 MB" in refused(area / "abc" / "rows.jsonl", area, small)


def test_a_parquet_file_that_unfolds(area):
    path = area / "abc" / "bomb.parquet"
    pq.write_table(pa.table({"instruction": ["a"] * 600_000, "output": ["b"] * 600_000}), path)
    assert path.stat().st_size < 100_000
    assert "too much here" in refused(path, area)


PRIVATE = [
    "http://example.org/v1", "https://127.0.0.1/v1", "https://localhost:8000", "https://169.254.169.254/latest",
    "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://[fe80::1]/", "https://[64:ff9b::7f00:1]/",
    "https://10.1.2.3", "https://192.168.0.1", "https://172.16.0.1", "https://0.0.0.0", "https://100.64.0.1",
    "https://2130706433/", "https://0x7f000001/", "https://user:pw@example.org", "file:///etc/passwd",
    "gopher://127.0.0.1", "https://", "https://224.0.0.1", "https://[fd00::1]",
]  # fmt: skip


@pytest.mark.parametrize("url", PRIVATE)
def test_addresses_that_are_not_the_internet(url):
    with pytest.raises(Refused):
        safety.check_endpoint(url, HOSTED)


def test_names_that_lead_to_private_addresses(monkeypatch):
    for address, good in (("93.184.216.34", True), ("10.0.0.5", False), ("::1", False)):
        found = [(0, 0, 0, "", ("93.184.216.34", 443)), (0, 0, 0, "", (address, 443))]
        monkeypatch.setattr(safety.socket, "getaddrinfo", lambda *_, found=found, **__: found)
        if good:
            assert safety.check_endpoint(" https://models.example/v1 ", HOSTED) == "https://models.example/v1"
        else:
            with pytest.raises(Refused, match="private address"):
                safety.check_endpoint("https://models.example/v1", HOSTED)


def test_a_name_that_leads_elsewhere_after_the_check():
    """What a run's process connects to is looked at again, for every library and every redirect."""
    code = """
import asyncio, socket, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
class Redirect(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.2:{port}/")
        self.end_headers()
server = HTTPServer(("127.0.0.1", 0), Redirect)
port = server.server_port
threading.Thread(target=server.serve_forever, daemon=True).start()
from entp_hf.webapp.security.requests import only_public_connections
only_public_connections(allowed=["127.0.0.1"])  # stands for a server on the internet
socket.create_connection(("127.0.0.1", port)).close()
for connect in (lambda: socket.create_connection(("127.0.0.2", port)),
                lambda: asyncio.run(asyncio.open_connection("169.254.169.254", 80)),
                lambda: __import__("urllib.request").request.urlopen(f"http://127.0.0.1:{port}"),
                lambda: __import__("httpx").get(f"http://127.0.0.1:{port}", follow_redirects=True, trust_env=False)):
    try:
        connect()
    except Exception as error:
        assert "private addresses are refused" in str(error), error
    else:
        raise SystemExit("connected")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


SAMPLE = given.PoolInput("x", ["p"], "n", ["instruction", "output"], 10, [], "alpaca")
COLUMNS = {"instruction": "instruction", "output": "output"}
FORM = Form({"fuser": "mosaic", "pool": "all"}, "alpaca", COLUMNS, [], "", "none", "", "")


@pytest.mark.parametrize(
    "settings",
    [
        {"raters": "os:system"},
        {"cache_dir": "/etc"},
        {"prompt_dir": "/etc"},
        {"embedder": "/tmp/model"},
        {"benchmark_files": "/etc/passwd"},
        {"endpoint": "http://127.0.0.1"},
        {"purge_rules": "os:system"},
        {"purge_off": "a.b:c"},
        {"purge_thresholds": "os:system=1"},
        {"__class__": "x"},
        {"num_proc": 99},
    ],
)
def test_settings_that_reach_into_the_machine(settings):
    with pytest.raises((Refused, ConfigError)):
        make_config(dataclasses.replace(FORM, settings={**FORM.settings, **settings}), SAMPLE, HOSTED)


def test_rows_are_bounded_and_models_are_named_not_pathed():
    many = dataclasses.replace(SAMPLE, rows=10**6)
    config = make_config(dataclasses.replace(FORM, settings={**FORM.settings, "target_size": 10**9}), many, HOSTED)
    assert (config.limit, config.target_size, config.num_proc) == (HOSTED.rows, HOSTED.rows, 1)
    for model in ("/etc/passwd", "../x", "a/../b", "", "x y"):
        with pytest.raises(ConfigError, match="no name of a model"):
            make_config(dataclasses.replace(FORM, model_from="provider", model=model), SAMPLE, HOSTED)


@pytest.mark.parametrize("name", ["../x/y", "tests/data", "/etc/passwd", "x", "a/..", "hf://a/b", "a/b@main", ""])
def test_names_of_datasets_that_are_paths(name, tmp_path, monkeypatch):
    (tmp_path / "tests" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match="no dataset on the Hub"):
        given.check_repo(name)


def test_columns_are_corrected_for_every_layout(tmp_path):
    talk = [{"role": "user", "content": "Say a."}, {"role": "assistant", "content": "a"}]
    layouts = {
        "messages": ({"messages": "x"}, {"x": talk}),
        "sharegpt": (
            {"conversations": "x"},
            {"x": [{"from": "human", "value": "Say a."}, {"from": "gpt", "value": "a"}]},
        ),
        "prompt_completion": ({"prompt": "x", "completion": "y"}, {"x": "Say a.", "y": "a"}),
        "alpaca": ({"instruction": "x", "input": "", "output": "y"}, {"x": "Say a.", "y": "a"}),
    }
    assert set(layouts) == set(LAYOUTS)
    for layout, (columns, row) in layouts.items():
        path = tmp_path / f"{layout}.jsonl"
        path.write_text(json.dumps({**row, "other": "z"}) + "\n")
        seen = given.PoolInput("x", [str(path)], "n", [*row, "other"], 1, [], "")
        form = dataclasses.replace(FORM, layout=layout, columns=columns)
        found, _ = read_rows(str(path), make_config(form, seen, HOSTED))
        assert [m["content"] for m in found[0]["messages"]] == ["Say a.", "a"]
        lacking = dataclasses.replace(form, columns={**columns, next(iter(columns)): ""})
        with pytest.raises(ConfigError, match="say which column holds"):
            make_config(lacking, seen, HOSTED)


def test_code_of_a_dataset_is_never_run():
    import entp_hf

    # `entp train --trust_remote_code` is TRL's flag for a model, which its user has to give.
    files = [path for path in Path(entp_hf.__file__).parent.rglob("*.py") if path.parent.name != "training"]
    text = "".join(path.read_text() for path in files)
    assert len(files) > 100 and "trust_remote_code" not in text and "exec(" not in text.replace("re.exec(", "")


def test_datasets_of_formats_that_hold_code():
    class Builder:
        config = SimpleNamespace(data_files={"train": ["hf://datasets/a/b/x.pkl"]})

    Builder.__module__ = "datasets.packaged_modules.pandas.pandas"
    with pytest.raises(Refused, match=r"x\.pkl"):
        given._check_builder(Builder(), "a/b")
    Builder.config = SimpleNamespace(data_files={"train": ["hf://datasets/a/b/x.zip"]})
    Builder.__module__ = "datasets.packaged_modules.json.json"
    with pytest.raises(Refused, match=r"x\.zip"):
        given._check_builder(Builder(), "a/b")


def request(name="", address="9.9.9.9", forwarded="", expires=1e12, token="hf_secret"):
    session = (
        {"oauth_info": {"access_token": token, "expires_at": expires, "userinfo": {"preferred_username": name}}}
        if name
        else {}
    )
    inner = SimpleNamespace(scope={"session": session})
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    return SimpleNamespace(request=inner, client=SimpleNamespace(host=address), headers=headers)


def test_who_someone_is_comes_from_the_signed_session_alone():
    assert user_of(request("ann"), HOSTED).name == "ann"
    assert user_of(request("ann", expires=1), HOSTED) == user_of(request(), HOSTED)
    assert user_of(request(), HOSTED).token is False
    forged = user_of(request(forwarded="8.8.8.8, 1.1.1.1, 10.0.0.1"), HOSTED)
    assert forged.counted == "at:1.1.1.1"
    assert "hf_secret" not in repr(user_of(request("ann"), HOSTED))


@pytest.fixture
def runs(tmp_path):
    found = Runs(tmp_path / "runs", dataclasses.replace(HOSTED, seconds=120.0))
    yield found
    found.close()


def a_run(runs, owner="", user="at:1", **config) -> Run:
    key, folder = runs.new_folder()
    (folder / "input.jsonl").write_text(LINE * 3)
    values = {"raters": [], "pool": "all", "fuser": "none", **config}
    return Run(key, owner, user, make_plain(values), [str(folder / "input.jsonl")], "input.jsonl")


def make_plain(values):
    from entp_hf.config import EntpConfig

    return EntpConfig.from_dict(values).to_dict()


def ended(run, seconds=90.0):
    stop = time.monotonic() + seconds
    while run.state in ("queued", "running") and time.monotonic() < stop:
        time.sleep(0.1)
    return run.state


def test_nobody_sees_another_s_run(runs):
    mine, open_run = a_run(runs, owner="ann", user="hf:ann"), a_run(runs, user="at:2")
    for run in (mine, open_run):
        runs.start(run)
    assert runs.get(mine.id, "ann") is mine
    assert runs.get(mine.id, "bob") is None and runs.get(mine.id, "") is None
    assert runs.get(open_run.id, "") is open_run
    assert runs.of("") == [] and runs.of("bob") == []
    for guess in ("", "..", "../" + mine.id, mine.id + "/", mine.id[:-1] + "*", "a" * 22, None):
        assert runs.get(guess, "ann") is None
    assert (runs.path(mine).stat().st_mode & 0o077) == 0


class SignedIn:
    """In the place of Gradio's session: who is signed in comes with the request."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        name = dict(scope["headers"]).get(b"x-test-user", b"").decode()
        scope["session"] = request(name).request.scope["session"]
        await self.app(scope, receive, send)


def test_nobody_fetches_another_s_files(runs):
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.testclient import TestClient

    app = Starlette(routes=downloads.routes(runs, HOSTED), middleware=[Middleware(SignedIn)])
    mine = a_run(runs, owner="ann", user="hf:ann")
    kept, dropped = rows(made=3)
    Result(kept, dropped, manifest()).save(runs.path(mine) / "out")
    runs._runs[mine.id] = mine
    with contextlib.closing(TestClient(app)) as client:

        def get(name, user="", run=mine.id):
            return client.get(f"/runs/{run}/{name}", headers={"x-test-user": user})

        assert get("dataset.parquet", "ann").status_code == 404  # not finished
        mine.state = "done"
        for name in downloads.FILES:
            found = get(name, "ann")
            assert found.status_code == 200 and found.headers["cache-control"] == "no-store"
            assert found.headers["content-disposition"].startswith("attachment")
            assert get(name).status_code == get(name, "bob").status_code == 404
        assert [json.loads(line)["id"] for line in get("dataset.jsonl", "ann").text.splitlines()] == kept["id"][:]
        for name in ("run.json", "../run.json", "..%2f..%2frun.json", "%2fetc%2fpasswd", "manifest.json", ""):
            assert get(name, "ann").status_code == 404
        assert get("card.md", "ann", run="..%2f" + mine.id).status_code == 404


@pytest.fixture(scope="module")
def aside():
    found = Sandbox(HOSTED)
    yield found
    found.close()


def test_a_look_that_takes_too_long_or_too_much(aside, monkeypatch):
    monkeypatch.setattr(aside, "limits", dataclasses.replace(HOSTED, look_seconds=0.3))
    with pytest.raises(Refused, match=r"took more than 0\.3 s"):
        aside.call("at:1", time.sleep, 60)
    monkeypatch.setattr(aside, "limits", dataclasses.replace(HOSTED, look_memory=1))
    with pytest.raises(Refused, match="of memory"):
        aside.call("at:1", time.sleep, 60)
    monkeypatch.undo()
    assert aside.call("at:1", len, "abc") == 3


def test_one_user_s_looks_do_not_hold_up_the_others(aside, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(aside.call, "at:1", Path.read_text, pipe)
        while "at:1" not in aside._busy:
            time.sleep(0.01)
        with pytest.raises(Refused, match="looking at data already"):
            aside.call("at:1", len, "abc")
        assert aside.call("at:2", len, "abc") == 3 and not slow.done()
        pipe.write_text("it was read")
        assert slow.result() == "it was read"


def test_what_goes_wrong_in_a_look_is_told_without_the_machine(aside, tmp_path):
    with pytest.raises(EntpError, match="of no known form"):
        aside.call("at:1", detect_form, ["x"])
    with pytest.raises(EntpError, match=r"an error of the program itself: JSONDecodeError at decoder\.py:\d+$"):
        aside.call("at:1", json.loads, "a secret")
    with pytest.raises(EntpError, match="PermissionError"):
        aside.call("at:1", socket.create_connection, ("127.0.0.1", 9))


def test_a_disk_is_not_filled_with_looks(runs):
    folders = [runs.new_input("at:1")[1] for _ in range(5)]
    other = runs.new_input("at:2")[1]
    assert [folder.is_dir() for folder in folders] == [False, False, True, True, True] and other.is_dir()


def test_a_disk_is_not_filled_with_uploads(tmp_path, monkeypatch):
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    door = Middleware(Door, limits=dataclasses.replace(HOSTED, area=1000))
    upload = Route("/gradio_api/upload", lambda _: PlainTextResponse("taken"), methods=["POST"])
    with contextlib.closing(TestClient(Starlette(routes=[upload], middleware=[door]))) as client:
        assert client.post("/gradio_api/upload").text == "taken"
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "big.jsonl").write_bytes(b"x" * 2000)
        for path in ("/gradio_api/upload", "/gradio_api/upload/"):
            refused = client.post(path, follow_redirects=False)
            assert refused.status_code == 503 and refused.headers["x-content-type-options"] == "nosniff"


def test_a_run_s_files_tell_nothing_of_the_machine(runs):
    from entp_hf.webapp.pages.start import _copied

    folder = runs.new_folder()[1]
    run = a_run(runs)
    names = [_copied(Path(run.inputs[0]), name, folder) for name in ("../../x", "my rows.jsonl", "own/name", "..")]
    assert names == ["x.jsonl", "my_rows.jsonl", "own_name.jsonl", "input.jsonl"]
    run.inputs = [_copied(Path(run.inputs[0]), "my rows.jsonl", runs.path(run))]
    runs.start(run)
    assert ended(run) == "done", run.error
    out = runs.path(run) / "out"
    assert results.load(out).kept["source"][0] == "my_rows.jsonl:1"
    told = b"".join(path.read_bytes() for path in out.rglob("*") if path.suffix in (".json", ".html", ".md", ".yaml"))
    assert run.id.encode() not in told and str(Path.home()).encode() not in told


def test_a_user_has_one_run_at_a_time_and_the_queue_an_end(runs):
    runs.start(a_run(runs, user="at:1"))
    with pytest.raises(Refused, match="a run going on"):
        runs.start(a_run(runs, user="at:1"))
    runs.limits = dataclasses.replace(runs.limits, waiting=0)
    with pytest.raises(Refused, match="waiting already"):
        runs.start(a_run(runs, user="at:2"))


def test_rates():
    rates = Rates(2, 0.3, "things")
    rates.check("a"), rates.check("a"), rates.check("b")
    with pytest.raises(Refused, match="at most 2 things"):
        rates.check("a")
    time.sleep(0.35)
    rates.check("a")


def test_a_key_is_in_memory_only_and_the_process_of_a_run_sees_no_secret_of_the_app(runs, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    work.cool_down()  # the process that waits would still be offline
    secret = "hf_averysecretkey123"
    runs.limits = dataclasses.replace(runs.limits, hosted=False)  # the model's server is on this machine
    with FaultServer(key="another") as model:  # it refuses the key, and says it again
        run = a_run(runs, raters=["llm"], endpoint=model.url, model="m", retries=0)
        runs.start(run, key=secret)
        assert runs._keys == {run.id: secret}
        assert ended(run) == "failed" and "401" in run.error and "wrong key" in run.error
    work.cool_down()
    assert runs._keys == {} and model.calls[0]["key"] == f"Bearer {secret}"
    found = [path for path in runs.folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert not found and secret not in json.dumps(dataclasses.asdict(run))
    kept = swept({"HF_TOKEN": "a", "OPENAI_API_KEY": "b", "OAUTH_CLIENT_SECRET": "c", "HOME": "d", "AWS_SECRET": "e"})
    assert kept == {"HOME": "d"}


def test_a_run_that_takes_too_long_or_too_much(runs):
    runs.limits = dataclasses.replace(runs.limits, seconds=0.0)
    run = runs.start(a_run(runs))
    assert ended(run) == "failed" and "took more than 0.0 s; give it fewer rows" in run.error
    runs.limits = dataclasses.replace(runs.limits, seconds=60.0, memory=1)
    run = runs.start(a_run(runs))
    assert ended(run) == "failed" and "of memory; give it fewer rows" in run.error


def test_a_run_s_errors_tell_nothing_of_the_machine(runs):
    run = a_run(runs)
    Path(run.inputs[0]).write_text("{broken\n")
    runs.start(run)
    assert ended(run) == "failed"
    assert "broken JSON" in run.error and "Traceback" not in run.error


def test_runs_go_on_after_the_app_was_killed(runs, tmp_path):
    done, open_run, keyed = a_run(runs), a_run(runs, user="at:2"), a_run(runs, user="at:3")
    folder = tmp_path / "other"
    for run, state in ((done, "done"), (open_run, "running"), (keyed, "running")):
        run.state, run.needs_key = state, run is keyed
        (folder / run.id).mkdir(parents=True)
        (folder / run.id / "run.json").write_text(json.dumps(dataclasses.asdict(run)))
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{")
    again = Runs(folder, runs.limits)
    try:
        states = {run.id: again.get(run.id, "") for run in (done, open_run, keyed)}
        assert states[done.id].state == "done"
        assert states[keyed.id].state == "interrupted" and "sign in" in states[keyed.id].error
        with pytest.raises(Refused, match="sign in first"):
            again.resume(states[keyed.id])
        assert ended(states[open_run.id]) == "done"
    finally:
        again.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> results.Results:
    """A run whose every text is an attack."""
    finding = Finding("html", "response", "repair", 1, detail=EVIL).as_dict()
    chat = [{"role": "user", "content": EVIL}, {"role": "assistant", "content": EVIL + " x"}]
    raw = json.dumps({"instruction": EVIL, "output": EVIL})
    from datasets import Dataset

    parent = new_row(chat, source=f"{EVIL}:1", original=raw, findings=[finding], dropped_by=f"mix:{EVIL}")
    made = new_row(
        [{**m, "content": m["content"] + "!"} for m in chat],
        origin="mosaic",
        parents=[parent["id"], EVIL],
        model=EVIL,
        gate=json.dumps({EVIL: 1.0}),
    )
    found = manifest(warnings=[EVIL])
    found["input"]["files"][0]["path"] = EVIL
    found["ratings"]["names"][0] = EVIL
    found["dataset"]["dropped_by"] = {EVIL: 1}
    parts = [Dataset.from_list([row], features=FEATURES) for row in (made, parent)]
    folder = Result(parts[0], parts[1], Manifest(found)).save(tmp_path_factory.mktemp("evil") / "out")
    return results.load(folder)


def test_texts_of_the_data_are_never_markup(hostile):
    made = hostile.at(("kept", 0))
    places = [("kept", 0), ("dropped", 0)]
    run = Run("x", "", "", {}, [], EVIL, state="failed", error=EVIL)
    run.news = [{"stage": "mix", "what": EVIL, "done": 1, "total": 2, "began": 0.0, "now": 1.0}]
    seen = given.PoolInput("x", [], EVIL, [EVIL], 1, [{EVIL: EVIL}], EVIL)
    pages = [
        row_views.lineage(hostile, made["id"]),
        row_views.rows(hostile, places),
        row_views.repairs(hostile, places[1:]),
        views.summary(hostile),
        views.figures(hostile.manifest),
        views.progress(run, 0),
        views.preview(seen),
        views.note(EVIL),
    ]
    for page in pages:
        assert "&lt;" in page
        assert "<img" not in page and "<script" not in page and "javascript:" not in page.replace("(javascript:", "")
        assert "href=" not in page


def test_errors_are_told_as_text():
    import gradio as gr

    from entp_hf.webapp.pages.fields import told

    with pytest.raises(gr.Error) as error, told():
        raise EntpError(EVIL)
    assert "<img" not in error.value.message and "&lt;img" in error.value.message


def test_results_of_many_rows_are_searched_and_paged(tmp_path):
    kept, dropped = rows(made=30)
    found = results.load(Result(kept, dropped, manifest()).save(tmp_path / "out"))
    made = found.find("kept", "made", "")
    assert len(made) == 30 and len(found.find("kept", "mosaic", "")) == 6
    assert {
        found.at(place)["messages"][0]["content"].split()[1] for place in found.find("kept", "", "bread explain")
    } == {"bread"}
    part, page, pages = results.page_of(made, 99)
    assert (len(part), page, pages) == (10, 2, 3)
    (key, parent, share), *others = found.parents(found.at(made[0]))
    assert parent["id"] == key and share >= 0.9 and len(others) == 2
    empty = results.load(Result(kept.select([]), dropped, manifest()).save(tmp_path / "empty"))
    assert empty.find("kept", "", "") == [] and empty.filters("kept") == []
    assert "Parent 3" in row_views.lineage(found, found.at(made[0])["id"])


def test_a_relative_folder_of_runs_is_made_absolute(tmp_path, monkeypatch):
    """A run's process works in its own folder, where a relative path would lead elsewhere."""
    monkeypatch.chdir(tmp_path)
    runs = Runs(Path("runs"), LOCAL)
    try:
        assert runs.folder == tmp_path / "runs"
    finally:
        runs.close()
