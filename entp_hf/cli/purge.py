"""`entp purge` and `entp retune`: the symbolic rules alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..config import EntpConfig
from ..errors import InputError
from ..io.output_folder import output_folder
from .arguments import Folder, Inputs, Overwrite, folder_or_none, given, present, write_rows_and_figures
from .console import out, show_entry, show_explained, show_input, show_purge, table
from .options import LENIENT, with_settings

SCORES = "scores.parquet"  # what the tunable rules find at their loosest thresholds, rows as in data and dropped


# Settings that the help of `entp purge` lists, and its examples.
SHOWN = (
    "columns roles split subset bad_rows limit purge_rules purge_off purge_drop purge_thresholds "
    "benchmark_files near_duplicate num_proc engine"
)
EXAMPLES = ["entp purge pool.jsonl -o clean", "entp purge pool.jsonl --explain pool.jsonl:3"]


def purge(
    config: EntpConfig,
    inputs: Inputs = None,
    output: Folder = None,
    overwrite: Overwrite = False,
    rules: Annotated[bool, typer.Option("--list", help="list the rules and leave")] = False,
    explain: Annotated[str, typer.Option(metavar="ID", help="show one row's findings: its id, or FILE:ROW")] = "",
    by_file: Annotated[bool, typer.Option("--by-file", help="file by file, for pools that no machine holds")] = False,
) -> None:
    """Run the symbolic rules alone over every row of INPUT; with -o, write kept and dropped rows, and a report."""
    if rules:
        _list()
        return
    inputs = present(inputs)
    if output is not None:
        output_folder(output, overwrite).check()
    from ..io.reader import read_rows
    from ..pipeline.run import purge_rows

    if explain:
        _explain(read_rows(inputs, config)[0], explain, config)
        return
    if by_file:
        from ..purge.sharded import purge_files

        inputs, output = given(inputs, output)
        made = purge_files(inputs, output, config, overwrite)
        show_input(made["input"])
        show_purge(made["purge"])
        counts = made["dataset"]
        out.print(
            f"{made['input']['rows']:,} rows in, {counts['rows']:,} kept, {counts['dropped']:,} dropped, in {output}"
        )
        return
    with folder_or_none(output, overwrite) as folder:
        rows, read = read_rows(inputs, config)
        kept, dropped, report = purge_rows(rows, config)
        if folder is not None:
            from ..io.manifest import Manifest
            from ..reporting.report import write_report

            info = {**Manifest.start(config.to_dict()), "input": read, "purge": report}
            write_rows_and_figures(folder, kept, dropped, {**info, "warnings": report["warnings"]})
            _write_scores(folder, kept, dropped, config)
            write_report(folder)
    show_input(read)
    show_purge(report)
    out.print(
        f"{len(rows):,} rows in, {len(kept):,} kept, {len(dropped):,} dropped" + (f", in {output}" if output else "")
    )


def _list() -> None:
    """Every rule on two lines, so that names are whole at any width."""
    from ..rules.table import lines

    for name, code, action, limit, description in lines():
        show_entry(name, f"({code}): {action}" + (f", threshold {limit}" if limit else ""), description)


def _write_scores(folder: Path, kept: Any, dropped: Any, config: EntpConfig) -> None:
    import pyarrow as pa
    from datasets import concatenate_datasets

    from ..execution.tables import each, tables
    from ..io.parquet import write_tables
    from ..purge.purge import Purge
    from ..purge.retune import loosest, loosest_of_all
    from ..schema import FEATURES

    rules, both = Purge.from_config(config), concatenate_datasets([kept, dropped])
    schema = pa.schema([FEATURES.arrow_schema.field(name) for name in ("id", "findings")])
    found = zip(each(both, "id"), loosest(rules, both), loosest_of_all(both, config, rules.drop), strict=True)
    scores = ({"id": row["id"], "findings": alone + beside} for row, alone, beside in found)
    write_tables(tables(scores, schema), schema, folder / SCORES)


def _explain(rows: Any, name: str, config: EntpConfig) -> None:
    from ..execution.tables import column
    from ..purge.explain import explain
    from ..purge.purge import Purge

    keys, sources = column(rows, "id"), column(rows, "source")
    known = enumerate(zip(keys, sources, strict=True))
    found = [i for i, (key, source) in known if name in (key, source, Path(source).name)]
    if not found and name.isdecimal() and len({source.rpartition(":")[0] for source in sources}) == 1:
        found = [i for i, source in enumerate(sources) if source.endswith(f":{name}")]
    if not found:
        raise InputError(f"no row has the id {name!r}; ids are in the column `id`, or name a row as {sources[0]}")
    for index in found:
        row = rows[index]
        show_explained(row, explain(Purge.from_config(config), row))


def retune(
    folder: Annotated[Path, typer.Argument(help="folder that `entp purge -o` made")],
    thresholds: Annotated[list[str], typer.Argument(metavar="RULE=NUMBER", help="thresholds to try")],
    output: Folder = None,
    overwrite: Overwrite = False,
) -> None:
    """Try other thresholds on the scores that a purge stored, without running the rules again."""
    if not (folder / "manifest.json").is_file():
        raise InputError(f"{folder}: no manifest.json there; give a folder that `entp purge -o` made")
    import numpy as np
    from datasets import concatenate_datasets

    from ..execution.tables import column, each, pick, set_aside
    from ..io.manifest import Manifest
    from ..io.parquet import read_written, write_rows
    from ..purge.retune import rethreshold
    from ..rules.selection import parse_thresholds

    manifest = Manifest.load(folder / "manifest.json")
    config = EntpConfig.from_dict(manifest["config"])
    ran = {
        "near_duplicate": config.near_duplicate,
        "semantic_duplicate": config.semantic_duplicate,
        **dict(parse_thresholds(config.purge_thresholds)),
    }
    if not all((folder / name / "train.parquet").is_file() for name in ("data", "dropped")):
        raise InputError(
            f"{folder}: no data/train.parquet and dropped/train.parquet there. What `entp purge --by-file` "
            "made can't be tried with other thresholds; purge again, without --by-file or with others"
        )
    parts = [read_written(folder / name / "train.parquet") for name in ("data", "dropped")]
    before = concatenate_datasets([part for part in parts if len(part)] or parts[:1])
    stored = read_written(folder / SCORES) if (folder / SCORES).is_file() else None
    scores = None if stored is None else (row["findings"] for row in each(stored, "findings"))
    try:
        asked = dict(parse_thresholds(thresholds))
        _check_ran(asked, config)
        after = rethreshold(before, asked, ran, scores)
    except ValueError as error:
        raise InputError(str(error)) from error
    table("Findings", ["rule", "before", "after"], [[n, _count(before, n), _count(after, n)] for n in asked])
    kept, dropped = set_aside(after)
    with folder_or_none(output, overwrite) as target:
        if target is not None:
            both = {**ran, **asked}
            manifest["config"]["near_duplicate"] = both.pop("near_duplicate")
            manifest["config"]["semantic_duplicate"] = both.pop("semantic_duplicate")
            manifest["config"]["purge_thresholds"] = [f"{name}={value:g}" for name, value in both.items()]
            write_rows_and_figures(target, kept, dropped, manifest)
            if stored is not None:
                out_of_it = np.array([reason is not None for reason in column(after, "dropped_by")], bool)
                in_order = concatenate_datasets([pick(stored, ~out_of_it), pick(stored, out_of_it)])
                write_rows(in_order, target / SCORES)
    out.print(f"{len(parts[0]):,} rows were kept, {len(kept):,} are now" + (f", in {output}" if output else ""))


def _check_ran(asked: Iterable[str], config: EntpConfig) -> None:
    """Raise ValueError for a rule that the purge left out: nothing is stored of it, so that it would find nothing."""
    from ..purge.purge import Purge
    from ..rules.registry import DATASET_RULES, RULES
    from ..rules.selection import dataset_rules_off

    ran = {*Purge.from_config(config).names(), *DATASET_RULES} - dataset_rules_off(
        config.purge_rules, config.purge_off
    )
    for name in asked:
        if name not in ran and name in (*RULES, *DATASET_RULES):
            raise ValueError(f"{name} did not run in this purge; purge again with it in purge_rules")


def _count(rows: Any, rule: str) -> int:
    from ..execution.tables import each

    return sum(any(f["rule"] == rule and f["action"] != "keep" for f in r["findings"]) for r in each(rows, "findings"))


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("purge", context_settings=LENIENT)(with_settings(purge, SHOWN.split(), EXAMPLES))
    app.command()(retune)
