"""Measurements of a variant: the dataset's size, depth, defects, diversity and coverage of the pool."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arrays import FloatMatrix
from ...config import EntpConfig
from ...embedding.clustering import cluster
from ...embedding.diversity import diversity
from ...embedding.embed import Embed
from ...execution.tables import as_dataset, set_aside
from ...io.reader import read_rows
from ...io.sources import Source
from ...pipeline.run import purge_rows, run
from ...rules.registry import RULES
from ...schema import GENERATED, reason_of, response_of, text_of

Lines = Sequence[dict[str, Any]]  # one for each variant, or for each round of one
SPREAD, RUNS = "_sd", "_runs"  # end the names of a measure's standard deviation over seeds, and of its single values
MEANING = {
    "rows": "rows of the hybrid dataset",
    "made": "those of them that were fused or composed",
    "refused": "share of the model's fusions that the gate refused",
    "parents": "rows that went into a made row, on average",
    "answer_words": "words of an answer, on average: depth as far as it can be counted; a composition is long because "
    "it joins answers",
    "defective": "share of the rows that the default rules would drop or flag, made rows included",
    "defects": "the rules that do, and in how many rows, all seeds together",
    "novelsum": "diversity (NovelSum), comparable between sets of different sizes; higher is more diverse",
    "vendi": "diversity (Vendi score): the number of unlike rows that would be as varied; grows with the rows",
    "cluster_coverage": "share of the pool's clusters that the dataset reaches",
    "knn_coverage": "share of the pool's rows with a row of the dataset near them; grows with the rows",
    "kept": "rows of the pool that pass the purge",
    "rows_saved": "rows more that are kept if this rule is left out",
    "repairs_lost": "repairs that are not made without it",
    "flags_lost": "flags that are not set without it",
    "seeds": "runs that came to this round",
    "novelty": "1 - cosine to the nearest row made before, the mean of a round's made rows",
    "similarity": "cosine of a made row to its parents' mean, on average",
}


@dataclass(frozen=True)
class Reference:
    """The pool of a study: embeddings (N, d) and the centroids of its clusters, the same for all variants."""

    vectors: FloatMatrix
    centroids: FloatMatrix

    @classmethod
    def of(cls, inputs: Sequence[Source], config: EntpConfig) -> Reference:
        """Read, embed and cluster the pool."""
        rows = set_aside(read_rows(inputs, config)[0])[0]
        vectors = Embed.from_config(config).encode([text_of(row) for row in rows], desc="embed")
        return cls(vectors, cluster(vectors, (), config.silhouette_sample, config.seed).centroid)


def of_dataset(inputs: Sequence[Source], config: EntpConfig, pool: Reference) -> list[dict[str, Any]]:
    """One line of figures: the hybrid dataset that `config` makes."""
    result = run(inputs, config)
    manifest, rows = result.manifest, list(result.kept)
    rounds = manifest["fusion"]["rounds"]
    attempts = sum(r["attempts"] for r in rounds)
    made = [row for row in rows if row["origin"] in GENERATED]
    vectors = Embed.from_config(config).encode([text_of(row) for row in rows])
    found = {
        "rows": len(rows),
        "made": len(made),
        "rounds": len(rounds),
        "refused": round(1 - sum(r["fused"] for r in rounds) / attempts, 4) if attempts else None,
        "parents": round(float(np.mean([len(row["parents"]) for row in made])), 3) if made else None,
        "answer_words": round(float(np.mean([len(response_of(row).split()) for row in rows])), 2) if rows else None,
        **defects_of(rows, config),
    }
    measured = diversity(vectors, pool.vectors, pool.centroids) if len(rows) > 1 else {}
    return [{**found, **measured}]


def defects_of(rows: Sequence[Any], config: EntpConfig) -> dict[str, Any]:
    """`defective`, the share of rows that the default rules drop or flag, and `defects`, {rule: rows}.

    The rules are the default ones whatever `config` runs, so that all variants are judged alike.
    """
    if not rows:
        return {"defective": None, "defects": {}}
    fresh = as_dataset([{**row, "findings": [], "dropped_by": None} for row in rows])
    names = ("purge_off", "purge_rules", "near_duplicate", "semantic_duplicate")
    judge = dataclasses.replace(config, **{name: getattr(EntpConfig(), name) for name in names})
    kept, dropped, _ = purge_rows(fresh, judge)
    found = [{f["rule"] for f in row["findings"] if f["action"] != "repair"} for row in kept]
    found += [{reason_of(row["dropped_by"])[1]} for row in dropped]
    counts = Counter(rule for rules in found for rule in rules)
    return {"defective": round(sum(map(bool, found)) / len(rows), 4), "defects": dict(counts.most_common())}


def of_rounds(inputs: Sequence[Source], config: EntpConfig, pool: Reference) -> list[dict[str, Any]]:
    """A line for each round of one run."""
    fusion = run(inputs, config).manifest["fusion"]
    names = ("round", "groups", "fused", "mosaic", "similarity", "novelty", "reject_rate", "seconds")
    lines = [{name: entry[name] for name in names} for entry in fusion["rounds"]]
    return [{**line, "stopped_by": fusion["stopped_by"] if line is lines[-1] else ""} for line in lines]


def of_purge(inputs: Sequence[Source], config: EntpConfig, pool: Reference) -> list[dict[str, Any]]:
    """The purge alone, over the whole pool."""
    rows = set_aside(read_rows(inputs, config)[0])[0]
    kept, dropped, report = purge_rows(rows, config)
    repaired = sum(entry["repaired"] for entry in report["rules"].values())
    flagged = sum(entry["flagged"] for entry in report["rules"].values())
    words = float(np.mean([len(response_of(row).split()) for row in kept]))
    return [
        {
            "kept": len(kept),
            "dropped": len(dropped),
            "repaired": repaired,
            "flagged": flagged,
            "answer_words": round(words, 2),
            "rules": len(RULES) - len(config.purge_off),
        }
    ]


def against_all(lines: Lines) -> list[dict[str, Any]]:
    """The purge's lines with what each rule does that no other does: the difference to the first line, all rules."""
    names = {"rows_saved": ("kept", 1), "repairs_lost": ("repaired", -1), "flags_lost": ("flagged", -1)}
    return [
        {**line, **{new: sign * round(line[old] - lines[0][old], 2) for new, (old, sign) in names.items()}}
        for line in lines
    ]


def averaged(by_seed: Sequence[Lines], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Means over the seeds of the lines that agree in `keys`; standard deviations and values as `_sd` and `_runs`.

    Counts by name (`defects`) are added up, different texts joined. A measure that a seed lacks is left out of the
    mean; where lines are not in all seeds (rounds), `seeds` counts those they are in.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for lines in by_seed:
        for line in lines:
            groups.setdefault(tuple(line.get(key) for key in keys), []).append(line)
    uneven = len({len(group) for group in groups.values()}) > 1
    return [_mean(group, keys) | ({"seeds": len(group)} if uneven else {}) for group in groups.values()]


def _mean(group: Lines, keys: Sequence[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, first in group[0].items():
        values = [line[name] for line in group if line.get(name) is not None]
        if name in keys:
            out[name] = first
        elif isinstance(first, str):
            out[name] = " / ".join(dict.fromkeys(filter(None, values)))
        elif values and isinstance(values[0], dict):
            total: Counter[str] = sum(map(Counter, values), Counter())
            out[name] = ", ".join(f"{rule} {count}" for rule, count in total.most_common()) or None
        else:
            mean = float(np.mean(values)) if values else None
            out[name] = first if len(group) == 1 or mean is None else round(mean, 4)
            if len(values) > 1:
                out |= {name + SPREAD: round(float(np.std(values, ddof=1)), 4), name + RUNS: values}
    return out
