"""`entp study`: one question about the method, answered by a table, plots and a paragraph computed from the figures.

from entp_hf.experiments.ablation.runner import run_study

run_study("clusters-fusion", ["pool.jsonl"], config, "out")
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from datasets.utils import tqdm

from ...config import EntpConfig
from ...errors import ConfigError, OutputError
from ...execution.source_hash import source_hash
from ...io.manifest import installed_versions
from ...io.sources import Source
from . import findings, variants
from . import measurements as figures
from .measurements import Lines, Reference
from .report import markdown, write
from .variants import Variant

__all__ = ["STUDIES", "Study", "Variant", "markdown", "run_study"]


@dataclass(frozen=True)
class Study:
    """A question: `vary` gives the variants, `measure` the lines of figures of one, `say` the paragraph over all.

    `derive` adds figures that need all lines; `plotted` are those that get a plot.
    """

    about: str
    vary: Callable[[EntpConfig, Sequence[str]], list[Variant]]
    measure: Callable[[Sequence[Source], EntpConfig, Reference], list[dict[str, Any]]]
    say: Callable[[Lines], str]
    plotted: tuple[str, ...]
    embeds: bool = True
    derive: Callable[[Lines], list[dict[str, Any]]] = list


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
                   ("rows_saved", "repairs_lost", "flags_lost"), False, figures.against_all),
}  # fmt: skip


def study_of(name: str) -> Study:
    """The study of that name; ConfigError with the known ones."""
    if name not in STUDIES:
        near = get_close_matches(name, list(STUDIES), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError([f"study: no study is called {name!r}{hint} Known: {', '.join(STUDIES)}"])
    return STUDIES[name]


def run_study(
    name: str,
    inputs: Sequence[Source],
    config: EntpConfig,
    folder: str | Path,
    models: Sequence[str] = (),
    command: str = "",
    seeds: int = 1,
) -> dict[str, Any]:
    """Run a study into `folder`: study.json, table.md, table.csv, report.html. Returns what study.json holds.

    Every variant is run with `seeds` seeds, `config.seed` the first; a seed draws another sample of the pool where
    `limit` asks for one. Variants that are finished are in `folder`/variants and are not run again. Raises ConfigError
    for an unknown study or one without variants, OutputError if the folder holds another study or other settings.
    """
    study, folder = study_of(name), Path(folder)
    todo = study.vary(config.validate(), models)
    if not todo:
        raise ConfigError([f"models: {name} compares models; name them by --models A,B"])
    if seeds < 1:
        raise ConfigError([f"seeds: {seeds} is out of range; it must be at least 1"])
    claim(folder, {"study": name, "config": config.to_dict(), "models": list(models)})
    by_seed = []
    for seed in range(config.seed, config.seed + seeds):
        seeded = dataclasses.replace(config, seed=seed)
        by_seed.append(_lines_of(study, todo, inputs, seeded, folder, f"{name}, seed {seed}"))
    lines = study.derive(figures.averaged(by_seed, [*todo[0].label, "round"]))
    result = {
        "study": name,
        "about": study.about,
        "finding": study.say(lines),
        "command": command,
        "seeds": seeds,
        "versions": installed_versions(),
        "source_hash": source_hash(),
        "variants": [dataclasses.asdict(v) for v in todo],
        "lines": lines,
    }
    write(result, study.plotted, folder)
    return result


def _lines_of(
    study: Study, todo: Sequence[Variant], inputs: Sequence[Source], config: EntpConfig, folder: Path, told: str
) -> Lines:
    """The lines of all variants under one seed, from the folder where they are known."""
    files = [folder / "variants" / f"{number:02d}-seed{config.seed}.json" for number in range(len(todo))]
    pool = Reference.of(inputs, config) if study.embeds and not all(map(Path.is_file, files)) else None
    lines: Lines = []
    for variant, file in zip(tqdm(todo, desc=told, unit="variant"), files, strict=True):
        if not file.is_file():
            varied = EntpConfig.from_dict({**config.to_dict(), **variant.settings})
            found = study.measure(inputs, varied, pool)  # type: ignore[arg-type]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps([{**variant.label, **line} for line in found]), encoding="utf-8")
        lines = [*lines, *json.loads(file.read_text(encoding="utf-8"))]
    return lines


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
