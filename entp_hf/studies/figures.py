"""What is measured of a variant: the dataset's size, depth, defects, diversity and coverage of the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cluster import cluster
from ..config import EntpConfig
from ..diversity import diversity
from ..embed import Embed
from ..inputs import read_rows
from ..neighbours import Floats
from ..pipeline import purge_rows, run
from ..purge import RULES
from ..schema import response_of, text_of
from ..sources import Source
from ..steps import set_aside


@dataclass(frozen=True)
class Reference:
    """The pool of a study: embeddings (N, d) and the centroids of its clusters, the same for all variants."""

    vectors: Floats
    centroids: Floats

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
    made = [row for row in rows if row["origin"] in ("fused", "mosaic")]
    vectors = Embed.from_config(config).encode([text_of(row) for row in rows])
    found = {
        "rows": len(rows),
        "made": len(made),
        "rounds": len(rounds),
        "refused": round(1 - sum(r["fused"] for r in rounds) / attempts, 4) if attempts else None,
        "parents": round(float(np.mean([len(row["parents"]) for row in made])), 3) if made else None,
        "answer_words": round(float(np.mean([len(response_of(row).split()) for row in rows])), 2) if rows else None,
        "defective": defective(rows, config),
    }
    measured = diversity(vectors, pool.vectors, pool.centroids) if len(rows) > 1 else {}
    return [{**found, **measured}]


def defective(rows: Sequence[Any], config: EntpConfig) -> float | None:
    """Share of the rows in which the whole default set of rules still drops or flags something."""
    from ..hybrid import as_dataset

    if not rows:
        return None
    fresh = as_dataset([{**row, "findings": [], "dropped_by": None} for row in rows])
    judge = EntpConfig.from_dict({**config.to_dict(), "purge_off": [], "purge_rules": []})
    kept, dropped, _ = purge_rows(fresh, judge)
    wrong = [any(f["action"] != "repair" for f in row["findings"]) for row in kept]
    return round((sum(wrong) + len(dropped)) / len(rows), 4)


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
        {"kept": len(kept), "dropped": len(dropped), "repaired": repaired, "flagged": flagged,
         "answer_words": round(words, 2), "rules": len(RULES) - len(config.purge_off)}
    ]  # fmt: skip
