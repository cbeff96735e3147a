"""The first page: data, settings, plan. A run begins only after its plan was shown."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from ..config import EntpConfig
from ..plan import plan
from . import given as given_by
from . import views
from .fields import knob_field, told
from .given import Given
from .limits import KINDS, Limits, Rates, Refused
from .runs import Run, Runs
from .settings import CHATS, MAIN, MODELS, PRESETS, Form, helps, make_config, shown_knobs
from .users import User, user_of

SOURCES = {"sample": "The shipped sample", "file": "Upload a file", "hub": "A dataset on the Hub"}


class StartPage:
    """Components and handlers of the first page."""

    def __init__(self, runs: Runs, limits: Limits) -> None:
        self.runs, self.limits = runs, limits
        self.looks = Rates(limits.looks_per_minute, 60.0, "looks at data a minute")
        self.given = gr.State(None)
        self.planned = gr.State(None)
        self._data()
        self._settings()
        gr.Markdown("## 3 · Plan")
        self.see = gr.Button("Show what the run would do", elem_id="see-plan")
        self.plan = gr.HTML()
        self.start = gr.Button("Start the run", variant="primary", interactive=False, elem_id="start")
        self._wire()

    def _data(self) -> None:
        gr.Markdown("## 1 · Data")
        most = f"up to {self.limits.bytes / 1e6:,.0f} MB; {', '.join(KINDS)}"
        if self.limits.hosted:
            most += f". Of more than {self.limits.rows:,} rows a sample is taken"
        self.source = gr.Radio([(text, key) for key, text in SOURCES.items()], value=None, label="Where the rows are",
                               elem_id="source")  # fmt: skip
        self.file = gr.File(label=f"File ({most})", file_types=list(KINDS), visible=False, elem_id="upload")
        with gr.Group(visible=False) as self.hub:
            with gr.Row():
                self.words = gr.Textbox(label="Name of the dataset, or words of it", placeholder="OWNER/NAME",
                                        elem_id="words", scale=3)  # fmt: skip
                self.search = gr.Button("Search", scale=1)
            self.name = gr.Dropdown([], label="Dataset", visible=False, interactive=True)
            with gr.Row():
                self.config = gr.Dropdown([], label="Config", visible=False, interactive=True)
                self.split = gr.Dropdown([], label="Split", visible=False, interactive=True)
            self.take = gr.Button("Take its rows", visible=False)
        self.preview = gr.HTML()
        with gr.Group(visible=False) as self.columns:
            with gr.Row():
                self.named = [gr.Dropdown([], label=label, info=info, interactive=True) for label, info in (
                    ("Column of the instruction", "what is asked"), ("Column of the input", "if it is a separate one"),
                    ("Column of the answer", "what is answered"))]  # fmt: skip
        with gr.Row(visible=False) as self.facts:
            self.ratings = gr.Dropdown([], label="Columns with ratings", multiselect=True, interactive=True,
                                       info="numbers from 0 to 5, if the rows are rated already")  # fmt: skip
            self.licences = gr.Textbox(label="Licence of the data", placeholder="cc-by-sa-4.0", max_lines=1,
                                       info="goes onto the card; empty: unknown")  # fmt: skip

    def _settings(self) -> None:
        gr.Markdown("## 2 · Settings")
        self.preset = gr.Radio(list(PRESETS), value="Quick look", label="Start from", elem_id="preset")
        self.about = gr.HTML(views.note(PRESETS["Quick look"][0]))
        self.model_from = gr.Radio([(text, key) for key, text in MODELS.items()], value="none", label="Language model",
                                   info="rates rows and merges them into new ones", elem_id="model")  # fmt: skip
        with gr.Row(visible=False) as self.server:
            self.model = gr.Textbox("", label="Name of the model", placeholder="Qwen/Qwen2.5-7B-Instruct")
            self.endpoint = gr.Textbox("", label="Address of the server", placeholder="https://…/v1", visible=False)
            self.key = gr.Textbox("", label="Its key", type="password", visible=False, autofocus=False,
                                  info="kept in memory until the run has ended, and nowhere else")  # fmt: skip
        text, values = helps(), PRESETS["Quick look"][1]
        self.knobs: dict[str, Any] = {}
        with gr.Row():
            for name in MAIN:
                self.knobs[name] = knob_field(name, text[name])
                if name in values:
                    self.knobs[name].value = values[name]
        with gr.Accordion("All other settings", open=False):
            for section, knobs in shown_knobs().items():
                gr.Markdown(f"### {section}")
                for start in range(0, len(knobs), 3):
                    with gr.Row():
                        for knob in knobs[start : start + 3]:
                            self.knobs[knob.name] = knob_field(knob.name, text[knob.name])

    def _wire(self) -> None:
        shown = [self.given, self.preview, self.columns, self.facts, *self.named, self.ratings, self.licences,
                 self.start]  # fmt: skip
        self.source.change(self.on_source, [self.source], [self.file, self.hub, *shown], api_visibility="private")
        self.file.upload(self.on_file, [self.file], shown, api_name="upload_file")
        found = [self.name, self.config, self.split, self.take]
        gr.on([self.search.click, self.words.submit], self.on_search, [self.words], found, api_name="search")
        self.name.input(self.on_name, [self.name], found[1:], api_name="choose")
        self.config.input(self.on_config, [self.name, self.config], [self.split], api_name="choose_config")
        self.take.click(self.on_take, [self.name, self.config, self.split], shown, api_name="take")
        preset = [self.about, self.model_from, *(self.knobs[name] for name in MAIN)]
        self.preset.change(self.on_preset, [self.preset], preset, api_visibility="private")
        self.model_from.change(self.on_model, [self.model_from], [self.server, self.endpoint, self.key],
                               api_visibility="private")  # fmt: skip
        self.see.click(self.on_plan, self.inputs(), [self.plan, self.planned, self.start], api_name="plan")

    def inputs(self) -> list[Any]:
        """What a plan and a run are made of; the order that `_form` reads."""
        return [self.given, *self.named, self.ratings, self.licences, self.model_from, self.model, self.endpoint,
                *self.knobs.values()]  # fmt: skip

    def _form(self, values: tuple[Any, ...]) -> tuple[Given, Form]:
        given, instruction, extra, answer, ratings, licences, model_from, model, endpoint, *knobs = values
        if not isinstance(given, Given):
            raise Refused("choose the data first")
        if model_from not in MODELS:
            raise Refused("choose a language model, or none")
        columns = {"instruction": instruction or "", "input": extra or "", "output": answer or ""}
        named = dict(zip(self.knobs, knobs, strict=True))
        return given, Form(named, columns, list(ratings or []), licences or "", model_from, model or "",
                           endpoint or "")  # fmt: skip

    def _user(self, request: gr.Request) -> User:
        user = user_of(request, self.limits)
        self.looks.check(user.counted)
        return user

    def _show(self, given: Given | None) -> list[Any]:
        if given is None:
            return [None, "", gr.update(visible=False), gr.update(visible=False), *[gr.update()] * 5,
                    gr.update(interactive=False)]  # fmt: skip
        named = [gr.update(choices=[("(none)", ""), *((c, c) for c in given.columns)], value=given.guesses[name])
                 for name in ("instruction", "input", "output")]  # fmt: skip
        return [given, views.preview(given), gr.update(visible=given.form not in CHATS), gr.update(visible=True),
                *named, gr.update(choices=given.columns, value=[]), given.license,
                gr.update(interactive=False)]  # fmt: skip

    def on_source(self, source: str, request: gr.Request) -> list[Any]:
        """Show the fields of the source; the sample is taken at once."""
        given = None
        if source == "sample":
            with told():
                self._user(request)
                given = given_by.sample(self.runs.new_folder()[0])
        return [gr.update(visible=source == "file"), gr.update(visible=source == "hub"), *self._show(given)]

    def on_file(self, path: str | None, request: gr.Request) -> list[Any]:
        """Check and read an uploaded file."""
        with told():
            self._user(request)
            if not path:
                raise Refused("no file was given")
            key, folder = self.runs.new_folder()
            area = Path(os.environ.get("GRADIO_TEMP_DIR") or gr.utils.get_upload_folder())
            return self._show(given_by.uploaded(key, folder, path, area, self.limits))

    def on_search(self, words: str, request: gr.Request) -> list[Any]:
        """Find datasets on the Hub, and open the first."""
        with told():
            user = self._user(request)
            found = given_by.search(words, user.token)
            if not found:
                raise Refused("no dataset on the Hub is called that, or none that you may see")
        first = words.strip() if words.strip() in found else found[0]
        return [gr.update(choices=found, value=first, visible=True), *self._choices(user, first)]

    def _choices(self, user: User, name: str) -> list[Any]:
        with told():
            configs, splits = given_by.choices(name, None, user.token)
        return [gr.update(choices=configs, value=configs[0], visible=True),
                gr.update(choices=splits, value="train" if "train" in splits else splits[0], visible=True),
                gr.update(visible=True)]  # fmt: skip

    def on_name(self, name: str, request: gr.Request) -> list[Any]:
        """Configs and splits of a dataset."""
        with told():
            user = self._user(request)
        return self._choices(user, name)

    def on_config(self, name: str, config: str, request: gr.Request) -> Any:
        """Splits of a config."""
        with told():
            splits = given_by.choices(name, config, self._user(request).token)[1]
        return gr.update(choices=splits, value=splits[0])

    def on_take(self, name: str, config: str, split: str, request: gr.Request) -> list[Any]:
        """Read a split's first rows."""
        with told():
            user = self._user(request)
            key, folder = self.runs.new_folder()
            return self._show(given_by.from_hub(key, folder, name, config, split, self.limits, user.token))

    def on_preset(self, preset: str) -> list[Any]:
        """Set what a preset sets."""
        text, values = PRESETS[preset]
        asks = "embedded" if values["fuser"] not in ("mosaic", "none") else "none"
        return [views.note(text), asks, *(values.get(name, getattr(EntpConfig(), name)) for name in MAIN)]

    def on_model(self, model_from: str) -> list[Any]:
        """Fields of a server, where one is asked."""
        own = model_from == "endpoint"
        return [gr.update(visible=own or model_from == "provider"), gr.update(visible=own), gr.update(visible=own)]

    def on_plan(self, request: gr.Request, *values: Any) -> list[Any]:
        """Plan the run; only what was planned can be started."""
        with told():
            self._user(request)
            given, form = self._form(values)
            config = make_config(form, given, self.limits)
            found = plan(given.paths, config)
        return [views.plan_view(found, form.model_from != "none"), config.to_dict(), gr.update(interactive=True)]

    def begin(self, planned: Any, key: str, values: tuple[Any, ...], user: User) -> Run:
        """Put the planned run into the queue."""
        given, form = self._form(values)
        config = make_config(form, given, self.limits)
        if config.to_dict() != planned:
            raise Refused("the settings were changed since the plan; look at the plan again")
        needs = form.model_from in ("provider", "endpoint") and self.limits.hosted
        secret = key.strip() if form.model_from == "endpoint" else ""
        if form.model_from == "provider" and self.limits.hosted:
            secret = user.needed_token("ask a model in your name") or ""
        run_id, folder = self.runs.new_folder()
        inputs = [str(_copied(Path(path), self.runs.folder, folder)) for path in given.paths]
        used = config.to_dict()
        if self.limits.hosted:  # replies and embeddings are the run's own; the models are everybody's
            used["cache_dir"] = str(folder / "cache")
            (folder / "cache").mkdir()
            models = EntpConfig().cache_path() / "models"
            models.mkdir(exist_ok=True)
            (folder / "cache" / "models").symlink_to(models, target_is_directory=True)
        return self.runs.start(Run(run_id, user.name, user.counted, used, inputs, given.name, needs), secret)


def _copied(path: Path, area: Path, folder: Path) -> Path:
    """The input in the run's own folder, so that one input can be used for several runs; the sample stays."""
    if not path.is_relative_to(area):
        return path
    return Path(shutil.copyfile(path, folder / path.name, follow_symlinks=False))
