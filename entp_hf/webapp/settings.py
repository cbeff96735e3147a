"""Convert the app's form to an EntpConfig: presets, and settings that a visitor may not change."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from typing import Any

from ..config import CHOICES, SMOLLM2, WRITER, EntpConfig, section_of
from ..errors import ConfigError
from ..models.known import default_chat_model
from .inputs import PoolInput
from .security.limits import Limits, Refused
from .security.requests import check_endpoint

MODELS = {
    "none": "No model: rules and composition alone",
    "embedded": "The small model that comes with the app (one that can write: entp models fetch writer)",
    "provider": "Inference Providers, with your own account",
    "endpoint": "A server of your own (OpenAI-compatible)",
}
WRITER_LABEL = "The model on this machine, which can write: Qwen2.5-Coder, 1.5B parameters"


def models() -> dict[str, str]:
    """The choices of a language model and their words: the embedded one is the writer where it has been fetched."""
    writes = default_chat_model(str(EntpConfig().cache_path())) == WRITER
    return {**MODELS, "embedded": WRITER_LABEL} if writes else MODELS


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "Quick look": (
        "200 rows, rules and composition only. About a minute; shows what the method would do with your data.",
        {"limit": 200, "raters": [], "pool": "all", "fuser": "mosaic", "target_size": 100, "rounds": 1},
    ),
    "Symbolic only": (
        "Every row through the purge rules; nothing is merged, no model is asked.",
        {"limit": 0, "raters": [], "pool": "all", "fuser": "none", "target_size": 10_000},
    ),
    "Paper": (
        "The whole method as published: rate, correct, purge, cluster, merge with a language model, check.",
        {"limit": 0, "raters": ["logits"], "pool": "score", "fuser": "entp", "target_size": 10_000, "rounds": 2},
    ),
}
MAIN = ("limit", "target_size", "fusion_ratio", "rounds", "fuser", "pool")  # the others are folded away
# Set by the app itself: what names places on this machine, or how much of it a run may take.
OWN = frozenset(
    "input_format columns split rating_columns source_licenses raters model rater_model endpoint provider embedder "
    "embedder_dtype benchmark_files prompt_dir cache_dir engine ray_address ray_workers ray_gpus concurrency timeout "
    "batch_size device num_proc price_in price_out rater_endpoint judge_model judge_endpoint request_extras "
    "start_timeout model_dtype".split()
)
TURNS = "Column of the conversation"
# How rows may be laid out: the words for it, and the columns it needs, each with its label and a hint.
LAYOUTS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "alpaca": (
        "Instruction and answer in columns of their own",
        {"instruction": ("Column of the instruction", "what is asked"),
         "input": ("Column of the input", "if it is a separate one"),
         "output": ("Column of the answer", "what is answered")},
    ),
    "messages": ("A conversation in one column, as role and content", {"messages": (TURNS, "a list of turns")}),
    "sharegpt": ("A conversation in one column, as from and value", {"conversations": (TURNS, "a list of turns")}),
    "prompt_completion": (
        "Prompt and completion, as texts or as lists of turns",
        {"prompt": ("Column of the prompt", "what is asked"), 
         "completion": ("Column of the completion", "what is answered")},
    ),
}  # fmt: skip
OPTIONAL = "input"
HELPS = {
    "fuser": "related rows become one new row",
    "pool": "low is a score of at most pool_max_score, a setting below",
}  # of fields whose choices say the rest


def layout_of(form: str) -> str:
    """The layout of an input's form: Dolly's and unknown ones are told by their columns."""
    return form if form in LAYOUTS else "alpaca"


_NAMES = re.compile(r"[\w.=-]+")  # of rules and their thresholds: no colon, so no code of the user's own
_MODEL = re.compile(r"\w[\w.:-]{0,95}(/\w[\w.:-]{0,95}){0,4}")


def shown_settings() -> dict[str, list[dataclasses.Field[Any]]]:
    """The settings that are folded away, by section."""
    found: dict[str, list[dataclasses.Field[Any]]] = {}
    for setting in dataclasses.fields(EntpConfig):
        if setting.name not in OWN and setting.name not in MAIN:
            found.setdefault(section_of(setting.name), []).append(setting)
    return found


def helps() -> dict[str, str]:
    """Each setting's own help, as a sentence."""
    found = {setting.name: str(setting.metadata["help"]) for setting in dataclasses.fields(EntpConfig)}
    found |= HELPS
    return {name: text if "|" in text else text[:1].upper() + text[1:] for name, text in found.items()}


def typed(name: str, value: Any) -> Any:
    """Convert a form value to the setting's type; a value that does not fit stays, and validation reports it."""
    kind = typing.get_type_hints(EntpConfig)[name]
    if typing.get_origin(kind) is list:
        parts = [part.strip() for part in str(value or "").split(",") if part.strip()]
        return parts if typing.get_args(kind)[0] is str else [int(p) if p.isdigit() else p for p in parts]
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@dataclasses.dataclass(frozen=True)
class Form:
    """What the page holds: `settings` by name, the columns as named, and how the model is reached."""

    settings: Mapping[str, Any]
    layout: str
    columns: Mapping[str, str]  # ours to theirs, "" where there is none
    ratings: list[str]
    licences: str
    model_from: str
    model: str
    endpoint: str


def make_config(form: Form, given: PoolInput, limits: Limits) -> EntpConfig:
    """The configuration of a run. Raises ConfigError with all problems, or Refused for what is not allowed here."""
    if stray := [name for name in form.settings if name in OWN or name not in helps()]:
        raise Refused(f"{', '.join(stray)} can't be set here")
    values = {name: typed(name, value) for name, value in form.settings.items() if value is not None}
    for name in ("purge_rules", "purge_off", "purge_drop", "purge_thresholds"):
        if bad := [text for text in values.get(name, []) if not _NAMES.fullmatch(text)]:
            raise Refused(f"{name}: {bad[0][:60]!r} is no name of a rule")
    values["limit"] = (
        min(values.get("limit") or limits.rows, limits.rows)
        if given.rows > limits.rows
        else (values.get("limit") or 0)
    )
    values |= _columns(form, given)
    values |= _model(form, values, limits)
    values["source_licenses"] = [text.strip() for text in form.licences.split(",") if text.strip()]
    if limits.hosted:
        values |= {
            "num_proc": 1,
            "concurrency": 8,
            "target_size": min(values.get("target_size", limits.rows), limits.rows),
        }
    return EntpConfig.from_dict(values)


def _columns(form: Form, given: PoolInput) -> dict[str, Any]:
    if strange := [c for c in [*form.columns.values(), *form.ratings] if c and c not in given.columns]:
        raise Refused(f"the input has no column {strange[0][:60]!r}")
    ours = {name: theirs for name, theirs in form.columns.items() if theirs}
    if missing := set(LAYOUTS[form.layout][1]) - {OPTIONAL} - set(ours):
        raise ConfigError([f"columns: say which column holds the {name}" for name in sorted(missing)])
    return {
        "rating_columns": list(form.ratings),
        "columns": [f"{name}={theirs}" for name, theirs in ours.items() if name != theirs],
        "input_format": form.layout,
    }


def _model(form: Form, values: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    fuser, pool = values.get("fuser", "entp"), values.get("pool", "score")
    by_column, asks = bool(form.ratings), form.model_from != "none"
    raters = ["column"] if by_column else []
    if not by_column and pool != "all":
        raters = ["logits"] if form.model_from == "embedded" else ["llm"]
    if not asks and (fuser not in ("mosaic", "none") or "llm" in raters):
        what = f"the way of merging {fuser!r}" if fuser not in ("mosaic", "none") else "rating the rows"
        raise ConfigError(
            [f"{what} needs a language model: choose one, or set fuser to mosaic or none, and pool to all"]
        )
    found: dict[str, Any] = {"raters": raters, "model": "auto" if form.model_from == "embedded" else SMOLLM2}
    if form.model_from in ("provider", "endpoint"):
        if not (_MODEL if limits.hosted else re.compile(r"\S+")).fullmatch(form.model.strip()):
            raise ConfigError([f"model: {form.model[:60]!r} is no name of a model; give it as the server calls it"])
        found["model"] = form.model.strip()
    if form.model_from == "provider":
        found["provider"] = "auto"
    if form.model_from == "endpoint":
        found["endpoint"] = check_endpoint(form.endpoint, limits)
    return found


def options(name: str) -> tuple[str, ...] | None:
    """What a setting may be, where that is a list."""
    return CHOICES.get(name)
