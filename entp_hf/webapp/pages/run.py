"""Page of a run: its progress, then its results."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

import gradio as gr

from ...pipeline.publish import push_folder
from ...schema import GENERATED
from ..jobs.runs import ACTIVE, Run, Runs
from ..security.limits import Limits, Rates, Refused
from ..security.users import User, user_of
from . import results, row_views, views
from .fields import told


class RunPage:
    """Components and handlers of a run's page. `run_id` is what the link holds; nothing is shown without it."""

    def __init__(self, runs: Runs, limits: Limits) -> None:
        self.runs, self.limits = runs, limits
        self.pushes = Rates(limits.runs_per_hour, 3600.0, "pushes an hour")
        self.run_id = gr.State("")
        self.timer = gr.Timer(1.0, active=False)
        self.link = gr.Textbox(
            label="Link to this run",
            interactive=False,
            buttons=["copy"],
            elem_id="link",
            info="The run goes on when you leave; this link finds it again. Whoever has it sees a "
            "run that was started without signing in.",
        )
        self.progress = gr.HTML(elem_id="progress")
        with gr.Row():
            self.cancel = gr.Button("Cancel the run", variant="stop", elem_id="cancel")
            self.resume = gr.Button("Go on with it", visible=False, elem_id="resume")
        with gr.Column(visible=False, elem_id="result") as self.result, gr.Tabs():
            self._tabs()
        self._wire()

    def _tabs(self) -> None:
        with gr.Tab("Summary"):
            self.summary = gr.HTML()
        with gr.Tab("Figures"):
            self.figures = gr.HTML()
        with gr.Tab("Made rows"):
            gr.Markdown("Pick a row to read it beside the rows that it was made from.")
            self.made = _Search(
                [("all made rows", "made"), *((origin.label, origin) for origin in GENERATED)],
                "made",
                "how made",
            )
            self.pick = gr.Radio([], label="Made rows", elem_classes=["choices"], elem_id="pick")
            self.lineage = gr.HTML(elem_id="lineage")
        with gr.Tab("Repairs"):
            gr.Markdown("What the rules took out is struck through, what they put in is shaded.")
            self.mends = _Search([("all rules", "")], "", "rule")
            self.repairs = gr.HTML(elem_id="repairs")
        with gr.Tab("All rows"):
            self.part = gr.Radio(
                [("The dataset", "kept"), ("Left out or used up", "dropped")], value="kept", label="Which rows"
            )
            self.every = _Search([("all", "")], "", "kind")
            self.rows = gr.HTML()
        with gr.Tab("Download"):
            self.files = gr.HTML(elem_id="files")
        with gr.Tab("Push to the Hub"):
            self.repo = gr.Textbox(label="Name of the dataset", placeholder="OWNER/NAME", elem_id="repo")
            self.private = gr.Checkbox(True, label="Private", info="only you can see it; you can change that later")
            self.push = gr.Button("Push", variant="primary", elem_id="push")
            self.pushed = gr.HTML(elem_id="pushed")

    def _wire(self) -> None:
        self.outputs = [self.link, self.progress, self.timer, self.cancel, self.resume, self.result]
        self.filled = [
            self.summary,
            self.figures,
            self.made.page,
            self.pick,
            self.lineage,
            self.mends.kind,
            self.repairs,
            self.every.kind,
            self.rows,
            self.files,
            self.pushed,
        ]
        self.timer.tick(
            self.on_tick,
            [self.run_id],
            [*self.outputs, *self.filled],
            api_visibility="private",
            show_progress="hidden",
        )
        self.cancel.click(self.on_cancel, [self.run_id], [self.progress], api_name="cancel")
        self.resume.click(self.on_resume, [self.run_id], self.outputs, api_name="resume")
        self.made.wire(self.on_made, [self.run_id], [self.made.page, self.pick, self.lineage])
        self.pick.input(self.on_pick, [self.run_id, self.pick], [self.lineage], api_visibility="private")
        self.mends.wire(self.on_repairs, [self.run_id], [self.mends.page, self.repairs])
        self.every.wire(self.on_rows, [self.run_id, self.part], [self.every.page, self.rows])
        self.part.input(
            self.on_part,
            [self.run_id, self.part],
            [self.every.kind, self.every.page, self.rows],
            api_visibility="private",
        )
        self.push.click(self.on_push, [self.run_id, self.repo, self.private], [self.pushed], api_name="push")

    def _mine(self, run_id: str, request: gr.Request) -> tuple[Run, User]:
        user = user_of(request, self.limits)
        run = self.runs.get(run_id, user.name)
        if run is None:
            raise Refused("there is no such run, or it is someone else's; it may have been deleted since")
        return run, user

    def _done(self, run_id: str, request: gr.Request) -> results.Results:
        run, _ = self._mine(run_id, request)
        if run.state != "done":
            raise Refused("this run has not finished")
        return results.load(self.runs.path(run) / "out")

    def shown(self, run: Run, request: gr.Request) -> list[Any]:
        """Updates of `outputs` for the run as it stands."""
        going = run.state in ACTIVE
        again = run.state in ("failed", "cancelled", "interrupted")
        link = f"{_base(request)}/?run={run.id}"
        return [
            link,
            views.progress(run, self.runs.place(run)),
            gr.update(active=going),
            gr.update(visible=going),
            gr.update(visible=again),
            gr.update(visible=run.state == "done"),
        ]

    def full(self, run: Run) -> list[Any]:
        """Updates of `filled`: empty until the run is done."""
        if run.state != "done":
            return ["", "", 1, gr.update(choices=[], value=None), "", gr.update(), "", gr.update(), "", "", ""]
        found = results.load(self.runs.path(run) / "out")
        made, _, _ = results.page_of(found.find("kept", "made", ""), 0)
        mends, rows = found.repairs("", "")[: results.PAGE], found.find("kept", "", "")[: results.PAGE]
        kinds = gr.update(choices=[("all", ""), *found.filters("kept")], value="")
        return [
            views.summary(found),
            views.figures(found.manifest),
            1,
            self._picks(found, made),
            self._first(found, made),
            gr.update(choices=[("all rules", ""), *found.rules()], value=""),
            row_views.repairs(found, mends),
            kinds,
            row_views.rows(found, rows),
            row_views.downloads(run.id),
            "",
        ]

    def _picks(self, found: results.Results, places: list[tuple[str, int]]) -> Any:
        choices = [(found.label(place), found.at(place)["id"]) for place in places]
        return gr.update(choices=choices, value=choices[0][1] if choices else None)

    def _first(self, found: results.Results, places: list[tuple[str, int]]) -> str:
        if not places:
            return views.note("No made row has these words, or none was made: the settings merge no rows.")
        return row_views.lineage(found, found.at(places[0])["id"])

    def on_tick(self, run_id: str, request: gr.Request) -> list[Any]:
        """Once a second while the run goes on."""
        with told():
            run, _ = self._mine(run_id, request)
        return [*self.shown(run, request), *self.full(run)]

    def on_cancel(self, run_id: str, request: gr.Request) -> str:
        """Stop the run; the next tick shows that it has ended."""
        with told():
            run, _ = self._mine(run_id, request)
            self.runs.cancel(run)
        return views.note("Stopping…")

    def on_resume(self, run_id: str, request: gr.Request) -> list[Any]:
        """Go on with a run that was stopped."""
        with told():
            run, user = self._mine(run_id, request)
            key = user.needed_token("ask a model in your name") if run.needs_key else ""
            self.runs.resume(run, key or "")
        return self.shown(run, request)

    def on_made(self, run_id: str, words: str, kind: str, page: int, request: gr.Request) -> list[Any]:
        """Find made rows."""
        with told():
            found = self._done(run_id, request)
            places, number, pages = results.page_of(
                found.find("kept", kind or "made", words or ""), int(page or 1) - 1
            )
        return [
            gr.update(value=number + 1, info=f"of {pages}"),
            self._picks(found, places),
            self._first(found, places),
        ]

    def on_pick(self, run_id: str, key: str, request: gr.Request) -> str:
        """One made row with its parents."""
        with told():
            return row_views.lineage(self._done(run_id, request), str(key))

    def on_repairs(self, run_id: str, words: str, kind: str, page: int, request: gr.Request) -> list[Any]:
        """Find repaired rows."""
        with told():
            found = self._done(run_id, request)
            places, number, pages = results.page_of(found.repairs(kind or "", words or ""), int(page or 1) - 1)
        return [gr.update(value=number + 1, info=f"of {pages}"), row_views.repairs(found, places)]

    def on_rows(self, run_id: str, part: str, words: str, kind: str, page: int, request: gr.Request) -> list[Any]:
        """Find rows."""
        with told():
            found = self._done(run_id, request)
            part = "dropped" if part == "dropped" else "kept"
            places, number, pages = results.page_of(found.find(part, kind or "", words or ""), int(page or 1) - 1)
        return [gr.update(value=number + 1, info=f"of {pages}"), row_views.rows(found, places)]

    def on_part(self, run_id: str, part: str, request: gr.Request) -> list[Any]:
        """Change between the dataset and what was left out."""
        with told():
            kinds = self._done(run_id, request).filters("dropped" if part == "dropped" else "kept")
        return [gr.update(choices=[("all", ""), *kinds], value=""), *self.on_rows(run_id, part, "", "", 1, request)]

    def on_push(self, run_id: str, repo: str, private: bool, request: gr.Request) -> str:
        """Push the dataset under the user's name."""
        with told():
            run, user = self._mine(run_id, request)
            self._done(run_id, request)
            token = user.needed_token("push under your name")
            self.pushes.check(user.counted)
            with tempfile.TemporaryDirectory(prefix="entp-push-") as folder:  # the card is written into it
                shutil.copytree(self.runs.path(run) / "out", folder, dirs_exist_ok=True)
                done = push_folder(folder, (repo or "").strip(), bool(private), token)
        code = f'from datasets import load_dataset\n\nrows = load_dataset("{done.repo_id}", split="train")'
        template = '<div class="entp"><p role="status">It is at <a href="{}" rel="noreferrer">{}</a>, revision {}.</p>'
        return str(views.html(template + "<pre>{}</pre></div>", done.url, done.repo_id, done.tag, code))


class _Search:
    """Words, a kind, and a page: what every list of rows is searched by."""

    def __init__(self, kinds: list[tuple[str, str]], kind: str, label: str) -> None:
        with gr.Row():
            self.words = gr.Textbox(label="Words in the row", max_lines=1, scale=2)
            self.kind = gr.Dropdown(kinds, value=kind, label=label.capitalize(), interactive=True)
            self.page = gr.Number(1, precision=0, minimum=1, label="Page", interactive=True)

    def wire(self, handler: Any, before: list[Any], outputs: list[Any]) -> None:
        """Search on every change."""
        inputs = [*before, self.words, self.kind, self.page]
        for event in (self.words.submit, self.words.blur, self.kind.input, self.page.submit, self.page.blur):
            event(handler, inputs, outputs, api_visibility="private", show_progress="hidden")


def _base(request: gr.Request) -> str:
    """The app's own address, as its user sees it."""
    host = request.headers.get("x-forwarded-host") or request.headers.get("host") or "127.0.0.1"
    scheme = request.headers.get("x-forwarded-proto", "http").split(",")[0]
    return f"{scheme}://{host}"
