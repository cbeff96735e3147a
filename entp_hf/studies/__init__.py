"""`entp study`: one question about the method, answered by a table, plots and a paragraph computed from the figures.

from entp_hf.studies import run_study

run_study("clusters-fusion", ["pool.jsonl"], config, "out")
"""

from __future__ import annotations

import csv
import dataclasses
import importlib.resources
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from datasets.utils import tqdm
from markupsafe import Markup

from ..config import EntpConfig
from ..errors import ConfigError, OutputError
from ..manifest import installed_versions
from ..plots import grouped_bar
from ..sources import Source
from ..stage import source_hash
from . import figures, findings, variants
from .figures import Reference
from .variants import Variant

__all__ = ["STUDIES", "Study", "Variant", "run_study"]


@dataclass(frozen=True)
class Study:
    """A question: `vary` gives the variants, `measure` the lines of figures of one, `say` the paragraph over all."""

    about: str
    vary: Callable[[EntpConfig, Sequence[str]], list[Variant]]
    measure: Callable[[Sequence[Source], EntpConfig, Reference], list[dict[str, Any]]]
    say: Callable[[Sequence[dict[str, Any]]], str]
    plotted: tuple[str, ...]
    embeds: bool = True


_SEEN = ("novelsum", "vendi", "cluster_coverage", "knn_coverage", "answer_words", "defective")
STUDIES: dict[str, Study] = {
    "purge-vs-neural": Study("symbolic rules only, fusion only, both: what the dataset looks like",
                             variants.purge_vs_neural, figures.of_dataset, findings.purge_vs_neural, _SEEN),
    "clusters-fusion": Study("cluster counts x fusion ratios: diversity against depth", variants.clusters_fusion,
                             figures.of_dataset, findings.clusters_fusion, _SEEN),
    "families": Study("fusing models (--models A,B): what the gate refuses, what comes out", variants.families,
                      figures.of_dataset, findings.families, ("refused", *_SEEN)),
    "convergence": Study("rounds of fusion without a bound: novelty round by round", variants.convergence,
                         figures.of_rounds, findings.convergence, ("novelty", "groups"), False),
    "sensitivity": Study("each fusion setting around its default, one at a time", variants.sensitivity,
                         figures.of_dataset, findings.sensitivity, _SEEN),
    "rules": Study("the purge without each of its rules", variants.rules, figures.of_purge, findings.rules,
                   ("kept", "flagged"), False),
}  # fmt: skip


def study_of(name: str) -> Study:
    """The study of that name; ConfigError with the known ones."""
    if name not in STUDIES:
        near = get_close_matches(name, list(STUDIES), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError([f"study: no study is called {name!r}{hint} Known: {', '.join(STUDIES)}"])
    return STUDIES[name]


def run_study(
    name: str, inputs: Sequence[Source], config: EntpConfig, folder: str | Path, models: Sequence[str] = (),
    command: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Run a study into `folder`: study.json, table.md, table.csv, report.html. Returns what study.json holds.

    Variants that are finished are in `folder`/variants and are not run again. Raises ConfigError for an unknown study
    or one without variants, OutputError if the folder holds another study or other settings.
    """
    study, folder = study_of(name), Path(folder)
    todo = study.vary(config.validate(), models)
    if not todo:
        raise ConfigError([f"models: {name} compares models; name them by --models A,B"])
    claim(folder, {"study": name, "config": config.to_dict(), "models": list(models)})
    pool = Reference.of(inputs, config) if study.embeds else None
    lines: list[dict[str, Any]] = []
    for number, variant in enumerate(tqdm(todo, desc=name, unit="variant")):
        file = folder / "variants" / f"{number:02d}.json"
        if not file.is_file():
            varied = EntpConfig.from_dict({**config.to_dict(), **variant.knobs})
            found = study.measure(inputs, varied, pool)  # type: ignore[arg-type]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps([{**variant.label, **line} for line in found]), encoding="utf-8")
        lines += json.loads(file.read_text(encoding="utf-8"))
    result = {
        "study": name, "about": study.about, "finding": study.say(lines), "command": command,
        "versions": installed_versions(), "source_hash": source_hash(),
        "variants": [dataclasses.asdict(v) for v in todo],
        "lines": lines,
    }  # fmt: skip
    write(result, study, folder)
    return result


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Note what the folder is of, or check that it is of the same."""
    file = folder / "settings.json"
    if file.is_file():
        theirs = json.loads(file.read_text(encoding="utf-8"))
        if theirs != settings:
            raise OutputError(f"{folder} holds another study, or one with other settings; name another folder")
        return
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty and holds no settings.json; name a folder to be made")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def markdown(lines: Sequence[dict[str, Any]]) -> str:
    """The lines as a table."""
    head = list(dict.fromkeys(key for line in lines for key in line))
    rows = [["-" if line.get(key) is None else str(line[key]) for key in head] for line in lines]
    bars = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(bars) + "\n"


def write(result: dict[str, Any], study: Study, folder: Path) -> None:
    """study.json, table.md, table.csv and report.html."""
    lines = result["lines"]
    (folder / "study.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(f"{result['finding']}\n\n{markdown(lines)}", encoding="utf-8")
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(key for line in lines for key in line)))
        writer.writeheader()
        writer.writerows(lines)
    (folder / "report.html").write_text(page(result, study), encoding="utf-8")


def page(result: dict[str, Any], study: Study) -> str:
    """One HTML file without requests."""
    style = importlib.resources.files("entp_hf.templates").joinpath("report.css").read_text(encoding="utf-8")
    lines = result["lines"]
    head = list(dict.fromkeys(key for line in lines for key in line))
    names = [" ".join(str(v) for v in list(line.values())[: _labels(result, line)]) for line in lines]
    plots = [
        grouped_bar(names, {measure: [float(line.get(measure) or 0) for line in lines]}, f"{measure} by variant")
        for measure in study.plotted
        if any(line.get(measure) is not None for line in lines)
    ]
    cell = Markup("<td>{}</td>")
    rows = [head, *([("–" if line.get(key) is None else line[key]) for key in head] for line in lines)]
    table = Markup("").join(Markup("<tr>{}</tr>").format(Markup("").join(cell.format(v) for v in row)) for row in rows)
    text = Markup('<!doctype html><html lang="en"><meta charset="utf-8"><title>{0}</title><style>{1}</style><main>'
                  "<h1>{0}</h1><p>{2}</p><p>{3}</p><table>{4}</table>{5}</main></html>\n")  # fmt: skip
    figures_ = Markup("").join(Markup("<figure>{}</figure>").format(plot) for plot in plots)
    return str(text.format(result["study"], Markup(style), result["about"], result["finding"], table, figures_))


def _labels(result: dict[str, Any], line: dict[str, Any]) -> int:
    """How many of a line's first columns name it; the rounds of convergence are named by the round as well."""
    return len(result["variants"][0]["label"]) + ("round" in line)
