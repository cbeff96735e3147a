"""Read the arguments of a training: every field of TRL's SFTConfig and ModelConfig, as flags or in a YAML file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError, InputError, require
from .options import SFTOptions, trl_name

logger = logging.getLogger(__name__)
# Fields of TRL's that a training sets itself, with the reason.
FIXED = {
    "assistant_only_loss": "it is always on; that is what `messages` are trained for",
    "completion_only_loss": "the loss is on the assistant's tokens; use `trl sft` for other losses",
    "do_train": "a training always trains",
    "eos_token": "the stop token is that of the chat template",
    "pad_token": "the tokenizer's own",
}
# Names of the last release's `entp train` and `python -m entp_hf.sft`, with TRL's name for the same.
OLD_NAMES = {field.name: trl_name(field) for field in dataclasses.fields(SFTOptions) if trl_name(field) != field.name}


def read_arguments(tokens: Sequence[str], config_file: Path | None = None) -> SFTOptions:
    """Options from command-line tokens and a YAML file; tokens win over the file.

    Args:
        tokens: flags `--name value` or `--name=value` by the names of SFTConfig, ModelConfig and SFTOptions, with _ or
            -, and the dataset as the one word that belongs to no flag.
        config_file: YAML mapping of the same names, as TrlParser reads it; `env` holds environment variables.

    Raises ConfigError with every unknown name and wrong value, InputError for a file that can't be read.
    """
    for package in ("trl", "peft"):
        require(package, "train", "fine-tuning")
    parser = _parser()
    values, rest = parser.parse_known_args([*_file_tokens(config_file), *tokens])
    words = [word for word in rest if not word.startswith("-")]
    known = sorted({name for action in parser._actions for name in action.option_strings})
    problems = [_unknown(word, known) for word in rest if word.startswith("-")]
    if len(words) > 1:
        problems.append(f"dataset: more than one given: {', '.join(words)}")
    found = vars(values)
    if words:
        found["dataset"] = words[0]
    options = as_options(found, problems)
    for problem in options.problems():
        name, _, text = problem.partition(":")
        problems.append(f"{OLD_NAMES.get(name, name)}:{text}")
    if problems:
        raise ConfigError(problems)
    return options


def as_options(values: Mapping[str, Any], problems: list[str]) -> SFTOptions:
    """SFTOptions from values by the names of TRL, of SFTOptions or of the last release; adds to `problems`."""
    own = {trl_name(field): field.name for field in dataclasses.fields(SFTOptions) if field.name != "trl"}
    given: dict[str, Any] = {}
    further: dict[str, Any] = {}
    for name, value in values.items():
        if name in OLD_NAMES:
            logger.warning("--%s is --%s in TRL; the short name goes with the next release", name, OLD_NAMES[name])
            given[name] = value
        elif name in own:
            given[own[name]] = value
        elif name == "dataset_name":
            given["dataset"] = value
        elif name == "use_peft":
            given["full"] = not value
        elif name in FIXED:
            problems.append(f"{name}: can't be set here: {FIXED[name]}")
        else:
            further[name] = value
    _adapt(given, further, problems)
    return SFTOptions(**given, trl=further)


def _adapt(given: dict[str, Any], further: dict[str, Any], problems: list[str]) -> None:
    """Bring TRL's forms of values to those of SFTOptions."""
    if isinstance(given.get("lora_targets"), list):
        given["lora_targets"] = ",".join(given["lora_targets"])
    if isinstance(given.get("report_to"), list):
        given["report_to"] = ",".join(given["report_to"])
    for name in ("save_steps", "logging_steps", "warmup_steps"):
        if name in given and float(given[name]).is_integer():
            given[name] = int(given[name])
        elif name in given:
            problems.append(f"{name}: {given[name]} is a share of the training; give a number of steps")
            del given[name]
    if isinstance(given.get("resume"), str):  # TRL's takes a folder or a truth value
        given["resume"] = given["resume"].lower() not in ("false", "no", "0", "")
    if given.get("max_steps") == -1:
        given["max_steps"] = 0
    scheduler = given.get("scheduler")
    if scheduler is not None:
        from transformers.trainer_utils import SchedulerType

        known = [str(kind.value) for kind in SchedulerType]
        given["scheduler"] = str(getattr(scheduler, "value", scheduler))
        if given["scheduler"] not in known:
            problems.append(f"lr_scheduler_type: {given['scheduler']!r} is none of {', '.join(known)}")
    if further.pop("push_to_hub", False) and not given.get("push_to"):
        problems.append("push_to_hub: needs --hub_model_id OWNER/NAME")
    if further.pop("save_strategy", None) == "steps" and not given.get("save_steps"):
        given["save_steps"] = 500  # TRL's default
    strategy = further.get("eval_strategy")
    if strategy is not None:
        further["eval_strategy"] = str(getattr(strategy, "value", strategy))
    for name, value in further.items():
        if isinstance(value, str) and value.startswith("{"):
            further[name] = json.loads(value)
    for name in ("optim", "hub_strategy", "logging_strategy", "save_strategy"):
        if name in further:
            further[name] = str(getattr(further[name], "value", further[name]))


def _parser() -> Any:
    """A parser of all names whose result holds what was given alone; wrong values raise ConfigError."""
    from transformers import HfArgumentParser
    from trl import ModelConfig, SFTConfig  # type: ignore[attr-defined,unused-ignore]

    class Parser(HfArgumentParser):  # type: ignore[misc,unused-ignore]
        def error(self, message: str) -> Any:
            flags, colon, text = message.removeprefix("argument ").partition(": ")
            raise ConfigError([f"{flags.split('/')[0].lstrip('-')}{colon}{text}"])

    kinds = (SFTConfig, ModelConfig)
    theirs = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    own = [
        (name, field.type, field)
        for field in dataclasses.fields(SFTOptions)
        for name in dict.fromkeys((field.name, trl_name(field)))
        if name not in theirs and name != "trl"
    ]
    ours = dataclasses.make_dataclass(
        "Ours", [(name, type(field.default), dataclasses.field(default=field.default)) for name, _, field in own]
    )
    classes: Any = (ours, *kinds)
    parser: Any = Parser(classes, allow_abbrev=False, add_help=False)
    parser.add_argument("--dataset_name", "--dataset-name")
    for action in parser._actions:  # as TrlParser does it; set_defaults would put the marks into the result
        action.default, action.required = argparse.SUPPRESS, False
    return parser


def _file_tokens(file: Path | None) -> list[str]:
    """A YAML file's settings as tokens, so that they are checked as flags are; sets its `env`."""
    if file is None:
        return []
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"--config {file}: can't be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"--config {file}: holds no mapping of settings, as in `learning_rate: 2e-5`")
    for name, value in (values.pop("env", None) or {}).items():
        os.environ[str(name)] = str(value)
    tokens = []
    for name, value in values.items():
        if isinstance(value, list):
            tokens += [f"--{name}", *map(str, value)]
        elif value is not None:
            tokens.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return tokens


def _unknown(word: str, known: Sequence[str]) -> str:
    name = "--" + word.split("=")[0].lstrip("-")
    near = get_close_matches(name, known, n=1) or get_close_matches(name.replace("-", "_"), known, n=1)
    return f"{word}: no such option" + (f"; did you mean {near[0]}?" if near else "")
