"""The app in a real browser: what a user does, from the upload to the dataset on a Hub on localhost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from app_server import AppServer
from fault_server import FaultServer, Handler
from local_hub import LocalHub
from prefix_proxy import PrefixProxy

pytest.importorskip("gradio", reason="the app needs the extra `space`")
api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if not CHROMIUM:
    pytest.skip("no Chromium on this machine; install it to run the browser tests", allow_module_level=True)

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
TOPICS = ("bread", "tides", "bridges", "verbs")
EVIL = "<img src=x onerror='window.broken=1'><script>window.broken=2</script>"


def pool(name: str, folder: Path) -> Path:
    """Rows with mojibake to be repaired and groups to be composed, and one that attacks the page."""
    lines = [
        {"question": f"What is {t}, part {i}?", "answer": f"The {t} isnâ€™t simple: fact {i} of {t}."}
        for t in TOPICS
        for i in range(6)
    ]
    lines.append({"question": f"Explain {EVIL} to me.", "answer": f"It isnâ€™t safe: {EVIL} is markup."})
    path = folder / name
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def hub():
    with LocalHub() as server:
        yield server


@pytest.fixture(scope="module")
def app(hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    with AppServer(folder, **hub.env(), HF_HOME=str(folder / "hf")) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on(
        "request",
        lambda request: (
            page.wrong.append(request.url)
            if "127.0.0.1" not in request.url and request.url.startswith("http")
            else None
        ),
    )
    yield page
    assert page.evaluate("window.broken") is None
    assert page.wrong == []
    context.close()


def upload(page, app, path):
    page.goto(app.url)
    page.get_by_label("Upload a file").check()
    page.locator("#upload input[type=file]").set_input_files(path)


def plan_and_start(page):
    page.locator("#see-plan").click()
    page.get_by_text("rows compared by content").wait_for()
    page.locator("#start").click()
    page.locator("#progress .steps").wait_for()


def finished(page):
    page.locator("#result .tiles").wait_for(timeout=90_000)


def choose(page, field, option):
    page.get_by_role("combobox", name=field, exact=True).click()
    page.get_by_role("option", name=option).click()


def take(page, name):
    choose(page, "Dataset", name)
    page.get_by_role("button", name="Take its rows").click()


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def test_from_an_upload_to_a_dataset_on_the_hub(page, app, hub, tmp_path):
    upload(page, app, pool("mine.jsonl", tmp_path))
    page.get_by_text("25 rows in mine.jsonl").wait_for()
    page.get_by_label("Licence of the data").fill("cc-by-sa-4.0")
    assert page.get_by_label("Column of the instruction").input_value() == "question"
    assert page.get_by_label("Column of the answer").input_value() == "answer"
    plan_and_start(page)
    finished(page)
    assert re.search(r"\?run=[\w-]{22}$", page.url)
    tab(page, "Figures")
    page.locator("#result svg[role=img]").first.wait_for()
    tab(page, "Made rows")
    page.locator("#lineage .made").wait_for()
    picked = page.locator("#pick label").nth(1)
    words = picked.inner_text().removesuffix("…").strip()
    picked.click()
    page.wait_for_function(
        "words => document.querySelector('#lineage .made').innerText.replace(/\\s+/g, ' ').includes(words)",
        arg=words[:60],
    )
    assert "of its content words are in the made row" in page.locator("#lineage .parents").inner_text()
    tab(page, "Repairs")
    page.locator("#repairs del", has_text="isnâ€™t").first.wait_for()
    assert page.locator("#repairs ins", has_text="isn").count() > 0
    tab(page, "Download")
    with page.expect_download() as download:
        page.get_by_role("link", name="dataset.jsonl").click()
    rows = [json.loads(line) for line in Path(download.value.path()).read_text(encoding="utf-8").splitlines()]
    assert rows and all("messages" in row for row in rows)
    tab(page, "Push to the Hub")
    page.locator("#repo input, #repo textarea").fill("ann/from-the-app")
    page.locator("#push").click()
    page.locator("#pushed", has_text="revision recipe-").wait_for()
    repo = hub.dataset("ann/from-the-app")
    assert repo.private and b"license: cc-by-sa-4.0" in repo.files["README.md"]
    assert "data/train.parquet" in repo.files and list(repo.tags)


def test_a_dataset_of_the_hub(page, app, hub):
    lines = "".join(json.dumps({"prompt": f"Say {i}.", "response": f"It is {i}."}) + "\n" for i in range(20))
    hub.add("dataset", "bob/questions", {"README.md": b"---\nlicense: mit\n---\n", "train.jsonl": lines.encode()})
    turns = [[{"role": "user", "content": f"Say {i}."}, {"role": "assistant", "content": f"{i}."}] for i in range(9)]
    chats = "".join(json.dumps({"talk": talk, "other": "x"}) + "\n" for talk in turns)
    hub.add("dataset", "ann/more-questions", {"train.jsonl": chats.encode()})
    page.goto(app.url)
    page.get_by_label("A dataset on the Hub").check()
    page.locator("#words input, #words textarea").fill("questions")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("found: 2; choose one").wait_for()
    assert not page.get_by_role("button", name="Take its rows").is_visible()
    take(page, "bob/questions")
    page.get_by_text("20 rows in bob/questions").wait_for()
    assert page.get_by_label("Licence of the data").input_value() == "mit"
    take(page, "ann/more-questions")  # of no known form: the user says which column is the conversation
    page.get_by_text("9 rows in ann/more-questions").wait_for()
    choose(page, "How a row is laid out", "role and content")
    choose(page, "Column of the conversation", "talk")
    page.locator("#see-plan").click()
    page.get_by_text("rows compared by content").wait_for()


def test_bad_files_are_told_in_words(page, app, tmp_path):
    packed = tmp_path / "rows.jsonl"
    packed.write_bytes(b"PK\x03\x04 not rows at all")
    upload(page, app, packed)
    page.get_by_text("is an archive or a program").wait_for()
    page.get_by_text("Choose the data first.").wait_for()
    assert page.locator("#see-plan").is_disabled() and page.locator("#start").is_disabled()
    broken = tmp_path / f"{'<b>'}broken.jsonl"
    broken.write_text("{no json\n")
    upload(page, app, broken)
    page.get_by_text("broken JSON").wait_for()


@pytest.fixture(scope="module")
def hosted(tmp_path_factory):
    with AppServer(tmp_path_factory.mktemp("hosted"), hosted=True) as server:
        yield server


def test_two_users_at_once_on_a_hosted_app(browser, hosted, tmp_path):
    pages = []
    for number, address in enumerate(("8.8.8.8", "9.9.9.9")):
        context = browser.new_context(extra_http_headers={"x-forwarded-for": address})
        context.set_default_timeout(60_000)
        page = context.new_page()
        upload(page, hosted, pool(f"of-user-{number}.jsonl", tmp_path))
        page.get_by_text(f"25 rows in of-user-{number}.jsonl").wait_for()
        plan_and_start(page)
        pages.append(page)
    for page in pages:
        finished(page)
    uploads = hosted.folder / "uploads"  # from where Gradio would serve them
    assert uploads.is_dir() and not [path for path in uploads.rglob("*") if path.is_file() and path.stat().st_size]
    first, second = pages
    run = re.search(r"run=([\w-]{22})", first.url)[1]
    assert urllib.request.urlopen(f"{hosted.url}/runs/{run}/card.md").headers["Cache-Control"] == "no-store"
    for name in ("run.json", "..%2Frun.json", "input.jsonl", "card.md/.."):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{hosted.url}/runs/{run}/{name}")
    assert first.url != second.url
    assert "of-user-0" in first.locator("#progress").inner_text()
    assert "of-user-1" in second.locator("#progress").inner_text()
    second.goto(hosted.url)
    assert second.locator("#mine").count() == 0 or not second.locator("#mine").is_visible()
    second.goto(f"{hosted.url}/?run={'a' * 22}")
    second.get_by_text("There is no such run").wait_for()
    first.get_by_role("tab", name="Push to the Hub").click()
    first.locator("#repo input, #repo textarea").fill("ann/x")
    first.locator("#push").click()
    first.get_by_text("sign in first").wait_for()
    for page in pages:
        page.context.close()


def test_what_is_asked_of_the_server_past_the_page(hosted, tmp_path):
    """Files of the machine, and uploads that were never made."""
    (hosted.folder / "runs" / "secret.txt").write_text("secret")
    for path in ("/etc/passwd", str(hosted.folder / "runs" / "secret.txt"), "app.py", "../../etc/passwd"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{hosted.url}/gradio_api/file={path}")
        assert error.value.code in (403, 404)
    for path in ("/etc/passwd", str(hosted.folder / "log.txt")):
        data = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}).encode()
        call = urllib.request.Request(
            f"{hosted.url}/gradio_api/call/upload_file", data, {"Content-Type": "application/json"}
        )
        event = json.load(urllib.request.urlopen(call))["event_id"]
        said = urllib.request.urlopen(f"{hosted.url}/gradio_api/call/upload_file/{event}").read().decode()
        assert "event: error" in said and "root:" not in said
    answer = urllib.request.urlopen(hosted.url)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_by_keyboard_alone_and_what_a_screen_reader_is_told(page, app):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    wrong = {}

    def look(view, scheme="light"):
        """What axe-core finds wrong: fields without a name, low contrast, roles out of order."""
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]}).response["violations"]
        nodes = [(v["id"], node["html"][:200], node["failureSummary"][:300]) for v in found for node in v["nodes"]]
        wrong.update({f"{view}, {scheme}": nodes} if nodes else {})

    def press_until(locator, key="Tab"):
        for _ in range(60):
            page.keyboard.press(key)
            if locator.evaluate("e => e === document.activeElement"):
                seen = locator.evaluate("e => getComputedStyle(e).outline")
                assert "none" not in seen and "3px" in seen, f"the focus on {locator} can't be seen: {seen}"
                return
        raise AssertionError(f"{locator} is not reached by {key}")

    page.goto(app.url)
    page.get_by_label("Upload a file").wait_for()
    press_until(page.get_by_label("The shipped sample"))
    page.keyboard.press("Space")
    page.get_by_text("rows in the shipped sample").wait_for()
    look("start", "dark")
    look("start")
    press_until(page.locator("#see-plan"))
    page.keyboard.press("Enter")
    page.get_by_text("rows compared by content").wait_for()
    press_until(page.locator("#start"))
    page.keyboard.press("Enter")
    finished(page)
    look("Summary", "dark")
    look("Summary")
    for name in ("Figures", "Made rows", "Repairs", "All rows", "Download", "Push to the Hub"):
        press_until(page.get_by_role("tab", name=name))
        page.keyboard.press("Enter")
        page.get_by_role("tab", name=name, selected=True).wait_for()
        look(name)
        if name == "Made rows":
            look(name, "dark")
    assert not wrong, json.dumps(wrong, indent=1)


class Gate(FaultServer):
    """Answers a few calls and holds all others until the next `phase`; `answered` and `asked` are the calls' texts."""

    def __init__(self):
        self.held, self.left, self.answered, self.asked = threading.Event(), 0, [], []
        super().__init__()

    def phase(self, answers: int):
        """The calls that wait now are given up; of the next, `answers` are answered."""
        with self.lock:
            old, self.held = self.held, threading.Event()
            self.left, self.answered, self.asked = answers, [], []
        old.set()


class GateHandler(Handler):
    def _answer(self, fault, body, text):
        with self.server.lock:
            self.server.asked.append(text)
            held, now = self.server.held, self.server.left > 0
            self.server.left -= 1
        if now:
            super()._answer(fault, body, text)
            with self.server.lock:
                self.server.answered.append(text)
        else:
            held.wait(60)


Gate.handler = GateHandler


def kept_replies():
    """Rows of the cache that the app's runs share."""
    path = Path(os.environ["ENTP_CACHE"]) / "replies.sqlite"
    with contextlib.suppress(sqlite3.OperationalError):  # not made yet
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM replies").fetchone()[0]
    return 0


def until(condition, seconds=30.0):
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop
        time.sleep(0.05)


def test_a_run_is_reloaded_cancelled_and_taken_up_and_outlives_the_app(page, app, tmp_path):
    """Nothing that the model has answered is asked a second time, after a cancel and after the app was killed."""
    places = ("Oslo", "deserts", "winter", "school", "law", "music", "hospitals", "space", "old books", "cooking")
    lines = [{"instruction": f"Tell me about {t} in {p}.", "output": f"{t}: {p}"} for t in TOPICS for p in places]
    (tmp_path / "slow.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = kept_replies()
    with Gate() as model:
        model.phase(answers=5)
        upload(page, app, tmp_path / "slow.jsonl")
        page.get_by_text("40 rows in slow.jsonl").wait_for()
        page.get_by_label("A server of your own").check()
        page.get_by_label("Name of the model").fill("m")
        page.get_by_label("Address of the server").fill(model.url)
        page.get_by_label("Its key").fill("sk-mine")
        choose(page, "How rows are merged", "each rewritten by the model")
        page.get_by_text("All other settings").click()
        page.get_by_label("Retries").fill("0")
        page.get_by_label("Max new tokens").fill("64")
        plan_and_start(page)
        until(lambda: kept_replies() == before + 5, 60)
        page.reload()
        page.locator("#progress li.now", has_text="Fusing").wait_for()
        run = re.search(r"run=([\w-]{22})", page.url)[1]
        known = app.folder / "runs" / run / "run.json"
        begun = time.time()
        page.locator("#cancel").click()
        until(lambda: json.loads(known.read_text())["state"] == "cancelled")
        assert json.loads(known.read_text())["ended"] - begun < 8
        page.locator("#progress .state", has_text="cancelled").wait_for()
        assert not (app.folder / "runs" / run / "out").exists()
        first = set(model.answered)
        model.phase(answers=6)
        page.locator("#resume").click()
        until(lambda: kept_replies() == before + 11, 60)
        second = set(model.answered)
        assert not first & set(model.asked)
        app.kill()
        page.wrong.clear()  # the page lost its server
        model.phase(answers=1000)
        app.start()
        page.goto(f"{app.url}/?run={run}")
        finished(page)
        assert len(first) == 5 and len(second) == 6 and not (first | second) & set(model.asked)
        tokens = json.loads((app.folder / "runs" / run / "out" / "manifest.json").read_text())["tokens"]
        assert tokens["cached_calls"] == 11 and len(model.asked) >= 10
        files = [path for path in app.folder.rglob("*") if path.is_file()]
        assert "sk-mine" not in "".join(path.read_text(errors="ignore") for path in files)


@pytest.mark.parametrize("slash", ["", "/"])
def test_behind_a_proxy_under_a_path(browser, tmp_path, slash):
    """The address may lack its last slash; runs kept in a relative folder are found again."""
    (tmp_path / "mine.jsonl").write_text(
        "".join(
            json.dumps({"question": f"What is {topic}, part {i}?", "answer": f"Fact {i} of {topic} is short."}) + "\n"
            for topic in ("bread", "tides", "bridges")
            for i in range(6)
        )
    )
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    with AppServer(tmp_path, GRADIO_ROOT_PATH="/lab/entp") as app, PrefixProxy(app.url, "/lab/entp") as proxy:
        page.goto(proxy.url + slash)
        page.get_by_label("Upload a file").check()
        page.locator("#upload input[type=file]").set_input_files(tmp_path / "mine.jsonl")
        page.get_by_text("18 rows in mine.jsonl").wait_for()
        plan_and_start(page)
        finished(page)
        page.goto(page.url)
        finished(page)
    context.close()
