"""Input part of the first page: source of the rows and meaning of its columns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gradio as gr

from .. import inputs as given_by
from ..inputs import PoolInput
from ..jobs.runs import Runs
from ..jobs.sandbox import Sandbox
from ..security.limits import KINDS, Limits, Rates, Refused
from ..security.users import User, user_of
from ..settings import LAYOUTS, layout_of
from . import views
from .fields import told

SOURCES = {"sample": "The shipped sample", "file": "Upload a file", "hub": "A dataset on the Hub"}

FIRST = "Choose the data first."


def upload_area() -> Path:
    """Where Gradio puts uploads."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or gr.utils.get_upload_folder())


class DataPart:
    """Components and handlers that end in `given`, an input that was looked at."""

    def __init__(self, runs: Runs, limits: Limits, aside: Sandbox) -> None:
        self.runs, self.limits, self.aside = runs, limits, aside
        self.looks = Rates(limits.looks_per_minute, 60.0, "looks at data a minute")
        self.given = gr.State(None)
        self._data()

    def _data(self) -> None:
        gr.Markdown("## 1 · Data")
        most = f"up to {self.limits.bytes / 1e6:,.0f} MB; {', '.join(KINDS)}"
        if self.limits.hosted:
            most += f". Of more than {self.limits.rows:,} rows a sample is taken"
        self.source = gr.Radio(
            [(text, key) for key, text in SOURCES.items()], value=None, label="Where the rows are", elem_id="source"
        )
        self.file = gr.File(label=f"File ({most})", file_types=list(KINDS), visible=False, elem_id="upload")
        with gr.Group(visible=False) as self.hub:
            with gr.Row():
                self.words = gr.Textbox(
                    label="Name of the dataset, or words of it", placeholder="OWNER/NAME", elem_id="words", scale=3
                )
                self.search = gr.Button("Search", scale=1)
            self.name = gr.Dropdown([], label="Dataset", visible=False, interactive=True)
            with gr.Row():
                self.config = gr.Dropdown([], label="Config", visible=False, interactive=True)
                self.split = gr.Dropdown([], label="Split", visible=False, interactive=True)
            self.take = gr.Button("Take its rows", visible=False)
        self.preview = gr.HTML()
        with gr.Group(visible=False) as self.columns:
            layouts = [(text, key) for key, (text, _) in LAYOUTS.items()]
            self.layout = gr.Dropdown(layouts, label="How a row is laid out", interactive=True, elem_id="layout")
            with gr.Row():
                self.named = [
                    gr.Dropdown([], label=label, info=info, interactive=True)
                    for label, info in LAYOUTS["alpaca"][1].values()
                ]
        with gr.Row(visible=False) as self.facts:
            self.ratings = gr.Dropdown(
                [],
                label="Columns with ratings",
                multiselect=True,
                interactive=True,
                info="numbers from 0 to 5, if the rows are rated already",
            )
            self.licences = gr.Textbox(
                label="Licence of the data",
                placeholder="cc-by-sa-4.0",
                max_lines=1,
                info="goes onto the card; empty: unknown",
            )

    def wire(self, see: Any, plan: Any, start: Any) -> None:
        """What the fields do; a new input can be planned (the button `see`), and has no `plan` and no `start` yet."""
        shown = [
            self.given,
            self.preview,
            self.columns,
            self.facts,
            self.layout,
            *self.named,
            self.ratings,
            self.licences,
            see,
            plan,
            start,
        ]
        self.source.change(self.on_source, [self.source], [self.file, self.hub, *shown], api_visibility="private")
        self.file.upload(self.on_file, [self.file], shown, api_name="upload_file")
        self.layout.input(self.on_layout, [self.given, self.layout], self.named, api_visibility="private")
        found = [self.name, self.config, self.split, self.take]
        gr.on([self.search.click, self.words.submit], self.on_search, [self.words], found, api_name="search")
        self.name.input(self.on_name, [self.name], found[1:], api_name="choose")
        self.config.input(self.on_config, [self.name, self.config], [self.split], api_name="choose_config")
        self.take.click(self.on_take, [self.name, self.config, self.split], shown, api_name="take")

    def inputs(self) -> list[Any]:
        """The fields, in the order that `StartPage` reads them."""
        return [self.given, self.layout, *self.named, self.ratings, self.licences]

    def look(self, request: gr.Request) -> User:
        """The user, whose looks are counted."""
        user = user_of(request, self.limits)
        self.looks.check(user.counted)
        return user

    def _show(self, given: PoolInput | None) -> list[Any]:
        if given is None:
            return [
                None,
                "",
                gr.update(visible=False),
                gr.update(visible=False),
                *[gr.update()] * 6,
                gr.update(interactive=False),
                views.note(FIRST),
                gr.update(interactive=False),
            ]
        layout = layout_of(given.form)
        return [
            given,
            views.preview(given),
            gr.update(visible=True),
            gr.update(visible=True),
            layout,
            *self._named(given, layout),
            gr.update(choices=given.columns, value=[]),
            given.license,
            gr.update(interactive=True),
            "",
            gr.update(interactive=False),
        ]

    def _named(self, given: PoolInput, layout: str) -> list[Any]:
        """The fields for the columns that a layout needs, with what they are likely to be."""
        choices = [("(none)", ""), *((c, c) for c in given.columns)]
        fields = [
            gr.update(choices=choices, value=given.guesses[ours], label=label, info=info, visible=True)
            for ours, (label, info) in LAYOUTS[layout][1].items()
        ]
        return [*fields, *[gr.update(visible=False, value="")] * (len(self.named) - len(fields))]

    def on_layout(self, given: Any, layout: str) -> list[Any]:
        """Show the fields of the columns that this layout needs."""
        if not isinstance(given, PoolInput) or layout not in LAYOUTS:
            return [gr.update()] * len(self.named)
        return self._named(given, layout)

    def on_source(self, source: str, request: gr.Request) -> list[Any]:
        """Show the fields of the source; the sample is taken at once."""
        given = None
        if source == "sample":
            with told():
                self.look(request)
                given = given_by.sample("sample")
        return [gr.update(visible=source == "file"), gr.update(visible=source == "hub"), *self._show(given)]

    def on_file(self, path: str | None, request: gr.Request) -> list[Any]:
        """Check and read an uploaded file."""
        with told():
            user = self.look(request)
            if not path:
                raise Refused("no file was given")
            key, folder = self.runs.new_input(user.counted)
            return self._show(
                self.aside.call(user.counted, given_by.uploaded, key, folder, path, upload_area(), self.limits)
            )

    def on_search(self, words: str, request: gr.Request) -> list[Any]:
        """Find datasets on the Hub; one that is called so, or the only one, is opened, else the user chooses."""
        with told():
            user = self.look(request)
            found = given_by.search(words, user.token)
            if not found:
                raise Refused("no dataset on the Hub is called that, or none that you may see")
        names = [name for _, name in found]
        chosen = words.strip() if words.strip() in names else names[0] if len(names) == 1 else None
        hits = gr.update(choices=found, value=chosen, visible=True, info=f"found: {len(found)}; choose one")
        return [hits, *(self._choices(user, chosen) if chosen else [gr.update(visible=False)] * 3)]

    def _choices(self, user: User, name: str) -> list[Any]:
        with told():
            configs, splits = self.aside.call(user.counted, given_by.choices, name, None, user.token)
        return [
            gr.update(choices=configs, value=configs[0], visible=True),
            gr.update(choices=splits, value="train" if "train" in splits else splits[0], visible=True),
            gr.update(visible=True),
        ]

    def on_name(self, name: str, request: gr.Request) -> list[Any]:
        """Configs and splits of a dataset."""
        with told():
            user = self.look(request)
        return self._choices(user, name)

    def on_config(self, name: str, config: str, request: gr.Request) -> Any:
        """Splits of a config."""
        with told():
            user = self.look(request)
            splits = self.aside.call(user.counted, given_by.choices, name, config, user.token)[1]
        return gr.update(choices=splits, value=splits[0])

    def on_take(self, name: str, config: str, split: str, request: gr.Request) -> list[Any]:
        """Read a split's first rows."""
        with told():
            user = self.look(request)
            key, folder = self.runs.new_input(user.counted)
            call = key, folder, name, config, split, self.limits, user.token
            return self._show(self.aside.call(user.counted, given_by.from_hub, *call))
