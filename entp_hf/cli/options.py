"""Make command-line flags from a dataclass of settings; report all that is wrong with them at once."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ..config import EntpConfig, section_of
from ..errors import ConfigError

# Unknown options are passed on, so that all of them, and all wrong values, are reported together.
LENIENT = {"ignore_unknown_options": True, "allow_extra_args": True}
Command = Callable[..., None]


def with_settings(command: Command, shown: Collection[str] = (), examples: Sequence[str] = ()) -> Command:
    """Give a command a flag for every setting of `EntpConfig`, and `--config` for a YAML file of them.

    Args:
        command: function of an `EntpConfig` and of its own arguments.
        shown: settings that `--help` lists; `--help-all` lists all.
        examples: command lines that its help ends with.
    """
    text = "YAML file of settings; flags win over it"
    file = inspect.Parameter(
        "config_file",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Path | None, typer.Option("--config", help=text, rich_help_panel="Configuration")],
    )

    def make(given: dict[str, Any], problems: list[str], config_file: Path | None) -> EntpConfig:
        try:
            config = EntpConfig.from_yaml(config_file, **given) if config_file else EntpConfig.from_dict(given)
        except ConfigError as error:
            raise ConfigError(problems + error.problems) from error
        if problems:
            raise ConfigError(problems)
        return config

    made = _with_flags(command, EntpConfig, make, section_of, (), [file], shown)
    lines = "\n\n".join(rf"  [cyan]{example}[/cyan]" for example in examples)
    rest = "Further settings: [bold]--help-all[/bold], or [bold]entp config[/bold] for all of them as YAML."
    made.__doc__ = f"{command.__doc__}\n\nExamples:\n\n{lines}\n\n{rest}"
    return made


def _with_flags(
    command: Command,
    settings: type,
    make: Callable[..., Any],
    panel: Callable[[str], str],
    skip: Collection[str],
    extra: list[inspect.Parameter],
    shown: Collection[str],
) -> Command:
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    types = typing.get_type_hints(settings)
    fields = {field.name: field for field in dataclasses.fields(settings) if field.name not in skip}
    off = {f"no_{name}": name for name in fields if types[name] is bool}
    flags = [flag(field, panel(name), name in shown) for name, field in fields.items()]
    flags += [off_flag(name) for name in off] + [_HELP_ALL] * (len(shown) < len(fields))
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    known = [*fields, *off]

    def run(**values: Any) -> None:
        given = {k: _parsed(v, types[k]) for k, v in values.items() if k in fields and v is not None}
        given |= {name: False for no, name in off.items() if values[no]}
        strays = [*(values.get("inputs") or []), *values["context"].args]
        problems = [_unknown(text, known) for text in strays if text.startswith("-") and len(text) > 1]
        made = make(given, problems, **{p.name: values[p.name] for p in extra})
        command(made, **{p.name: values[p.name] for p in own})

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    everything = [*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *extra, *flags, context]
    run.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    return run


def flag(setting: dataclasses.Field[Any], panel: str, shown: bool) -> inspect.Parameter:
    """The option `--NAME` of a setting, hidden in the help unless `shown`."""
    default = setting.default if setting.default_factory is dataclasses.MISSING else setting.default_factory()
    name = f"--{setting.name.replace('_', '-')}"
    off = f"; off: --no-{name[2:]}" if isinstance(default, bool) else ""
    text = f"{setting.metadata['help']} [default: {_spelt(default)}{off}]"
    metavar = {bool: None, int: "INT", float: "FLOAT", str: "TEXT", list: "A,B,...", dict: "{A: B}"}[type(default)]
    option = typer.Option(
        name,
        help=text.replace("[", r"\["),
        rich_help_panel=panel,
        show_default=False,
        metavar=metavar,
        hidden=not shown,
    )
    kind: Any = bool if isinstance(default, bool) else str  # text, so that every wrong value is reported at once
    annotation = Annotated[kind | None, option]
    return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help_all(context: typer.Context, wanted: bool) -> None:
    """Print the command's help with every setting, and leave."""
    if wanted:
        for parameter in context.command.params:
            no = (parameter.name or "").startswith("no_")
            parameter.hidden = no and getattr(parameter, "hidden", False)  # type: ignore[attr-defined]
        context.get_help()
        raise typer.Exit


_HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, typer.Option("--help-all", help="show this help with every setting", is_eager=True, callback=_help_all)
    ],
)


def off_flag(name: str) -> inspect.Parameter:
    """`--no-NAME`, an option of its own and hidden: beside `--NAME` its column would cut both names at 80 columns."""
    annotation = Annotated[bool, typer.Option(f"--{name.replace('_', '-')}", hidden=True)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


def _parsed(text: Any, kind: Any) -> Any:
    """A flag's text as the setting's type where it can be, else as it is: validation says what is wrong with it."""
    if not isinstance(text, str) or kind is str:
        return text
    if typing.get_origin(kind) is list:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return parts if typing.get_args(kind)[0] is str else [_plain(part) for part in parts]
    if typing.get_origin(kind) is dict:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return _plain(text)


def _plain(text: str) -> Any:
    try:
        return float(text) if "e" in text.lower() else yaml.safe_load(text)  # YAML 1.1 reads 1e-4 as text
    except (ValueError, yaml.YAMLError):
        return text


def _unknown(option: str, known: Collection[str]) -> str:
    name = option.split("=")[0].lstrip("-").replace("-", "_")
    near = get_close_matches(name, list(known), n=1)
    return f"{option}: no such option" + (f"; did you mean --{near[0].replace('_', '-')}?" if near else "")


def _spelt(default: Any) -> str:
    if isinstance(default, list):
        return ",".join(map(str, default)) or "none"
    if isinstance(default, dict):
        return "none"
    text = str(default).lower() if isinstance(default, bool) else str(default) or "none"
    return text.rpartition("/")[2] if len(text) > 30 else text  # a Hub id's owner would be cut at 80 columns
