"""The first page: data, settings, plan. A run begins only after its plan was shown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from ...config import EntpConfig
from ...pipeline.plan import plan
from ..inputs import PoolInput
from ..jobs.runs import Run, Runs
from ..jobs.sandbox import Sandbox
from ..security.limits import Limits, Refused
from ..security.users import User
from ..settings import LAYOUTS, MAIN, MODELS, PRESETS, Form, helps, make_config, models, shown_settings
from . import views
from .fields import knob_field, told
from .input import FIRST, DataPart


class StartPage:
    """Components and handlers of the first page."""

    def __init__(self, runs: Runs, limits: Limits, aside: Sandbox) -> None:
        self.runs, self.limits, self.aside = runs, limits, aside
        self.planned = gr.State(None)
        self.data = DataPart(runs, limits, aside)
        self._settings()
        gr.Markdown("## 3 · Plan")
        self.see = gr.Button("Show what the run would do", interactive=False, elem_id="see-plan")
        self.plan = gr.HTML(views.note(FIRST))
        self.start = gr.Button("Start the run", variant="primary", interactive=False, elem_id="start")
        self._wire()

    def _settings(self) -> None:
        gr.Markdown("## 2 · Settings")
        self.preset = gr.Radio(list(PRESETS), value="Quick look", label="Start from", elem_id="preset")
        self.about = gr.HTML(views.note(PRESETS["Quick look"][0]))
        self.model_from = gr.Radio(
            [(text, key) for key, text in models().items()],
            value="none",
            label="Language model",
            info="rates rows and merges them into new ones",
            elem_id="model",
        )
        with gr.Row(visible=False) as self.server:
            self.model = gr.Textbox("", label="Name of the model", placeholder="Qwen/Qwen2.5-7B-Instruct")
            self.endpoint = gr.Textbox("", label="Address of the server", placeholder="https://…/v1", visible=False)
            self.key = gr.Textbox(
                "",
                label="Its key",
                type="password",
                visible=False,
                autofocus=False,
                info="kept in memory until the run has ended, and nowhere else",
            )
        text, values = helps(), PRESETS["Quick look"][1]
        self.settings: dict[str, Any] = {}
        for three in (MAIN[:3], MAIN[3:]):
            with gr.Row():
                for name in three:
                    self.settings[name] = knob_field(name, text[name])
                    if name in values:
                        self.settings[name].value = values[name]
        with gr.Accordion("All other settings", open=False):
            for section, settings in shown_settings().items():
                gr.Markdown(f"### {section}")
                for start in range(0, len(settings), 3):
                    with gr.Row():
                        for setting in settings[start : start + 3]:
                            self.settings[setting.name] = knob_field(setting.name, text[setting.name])

    def _wire(self) -> None:
        self.data.wire(self.see, self.plan, self.start)
        preset = [self.about, self.model_from, *(self.settings[name] for name in MAIN)]
        self.preset.change(self.on_preset, [self.preset], preset, api_visibility="private")
        self.model_from.change(
            self.on_model, [self.model_from], [self.server, self.endpoint, self.key], api_visibility="private"
        )
        self.see.click(self.on_plan, self.inputs(), [self.plan, self.planned, self.start], api_name="plan")

    def inputs(self) -> list[Any]:
        """What a plan and a run are made of; the order that `_form` reads."""
        return [*self.data.inputs(), self.model_from, self.model, self.endpoint, *self.settings.values()]

    def _form(self, values: tuple[Any, ...]) -> tuple[PoolInput, Form]:
        given, layout, first, second, third, ratings, licences, model_from, model, endpoint, *settings = values
        if not isinstance(given, PoolInput):
            raise Refused(FIRST)
        if model_from not in MODELS:
            raise Refused("choose a language model, or none")
        if layout not in LAYOUTS:
            raise Refused("choose how a row is laid out")
        columns = {
            ours: column or "" for ours, column in zip(LAYOUTS[layout][1], (first, second, third), strict=False)
        }
        values_of = dict(zip(self.settings, settings, strict=True))
        return given, Form(
            values_of, layout, columns, list(ratings or []), licences or "", model_from, model or "", endpoint or ""
        )

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
            user = self.data.look(request)
            given, form = self._form(values)
            config = make_config(form, given, self.limits)
            found = self.aside.call(user.counted, plan, [_there(given, path) for path in given.paths], config)
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
        inputs = [_copied(Path(_there(given, path)), given.name, folder) for path in given.paths]
        used = config.to_dict()
        if self.limits.hosted:  # replies and embeddings are the run's own; the models are everybody's
            used["cache_dir"] = "cache"  # in the run's folder, where its process works
            (folder / "cache").mkdir()
            models = EntpConfig().cache_path() / "models"
            models.mkdir(exist_ok=True)
            (folder / "cache" / "models").symlink_to(models, target_is_directory=True)
        return self.runs.start(Run(run_id, user.name, user.counted, used, inputs, given.name, needs), secret)


def _there(given: PoolInput, path: str) -> str:
    """The path, if the input still lies there."""
    if not Path(path).is_file():
        raise Refused(f"{given.name} is no longer here; choose it again")
    return path


def _copied(path: Path, name: str, folder: Path) -> str:
    """The name of a copy of the input in the run's own folder: one input can be used for several runs."""
    plain = re.sub(r"[^\w.-]+", "_", name).strip("._")[-80:] or "input"
    called = plain if plain.endswith(path.suffix) else plain + path.suffix
    shutil.copyfile(path, folder / called, follow_symlinks=False)
    return called
