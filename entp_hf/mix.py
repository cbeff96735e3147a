"""Mix: rounds of fusion over a shrinking corpus, then the hybrid dataset (method sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .cluster import Clusters, representatives
from .config import EntpConfig
from .fuse import FUSERS
from .fusion_round import Round
from .gate import Gate
from .groups import Group, add_context, build_groups, has_neighbour, kind_of
from .llm import ChatClient
from .neighbours import Floats
from .schema import Row

INTO = ("mix:fused", "mix:mosaic")  # `dropped_by` of rows that a made row replaced


@dataclass
class Mixed:
    """What the rounds left: made rows, and for each row of the pool what became of it."""

    made: list[Row] = field(default_factory=list)
    passed: list[Row] = field(
        default_factory=list
    )  # representatives that could not be fused: they go through as they are
    used: list[Row] = field(default_factory=list)  # rows that a made row replaced, `dropped_by` set
    unused: list[Row] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    stopped_by: str = ""


def made_wanted(config: EntpConfig) -> int:
    """How many made rows the hybrid dataset asks for."""
    return 0 if config.fuser == "none" else round(config.target_size * config.fusion_ratio)


def group_size(config: EntpConfig) -> int:
    """Rows in a full fusion group, the representative included."""
    fuser = FUSERS[config.fuser]
    return 1 + (fuser.size if fuser and fuser.size is not None else config.group_neighbors)


def groups_possible(rows: int, have: int, config: EntpConfig) -> int:
    """Fusion groups of a round over `rows` rows that may be fused, when `have` made rows are there already."""
    return max(0, min(made_wanted(config) - have, config.max_groups or rows, rows // group_size(config)))


def round_groups(
    corpus: Sequence[Row], vectors: Floats, clusters: Clusters, kinds: Sequence[str], done: set[str],
    context: tuple[Sequence[Row], Floats], config: EntpConfig,
) -> tuple[list[Group], str]:  # fmt: skip
    """The groups of a round over `corpus` with embeddings (n, d), and "round limit"; or none, and what is lacking.

    `done` are ids of rows that are not to be fused. The model has no part in this, so a plan can know it.
    """
    label = clusters.label
    can = np.array([bool(kind) and row["id"] not in done for row, kind in zip(corpus, kinds, strict=True)], bool)
    if group_size(config) > 1:
        named = [kind if c else "" for kind, c in zip(kinds, can, strict=True)]
        can &= has_neighbour(vectors, label, named, config.group_similarity)
    have = sum(row["origin"] != "input" for row in corpus)
    wanted = groups_possible(int(can.sum()), have, config)
    if not wanted:
        return [], "enough rows made" if have >= made_wanted(config) else "no rows left to fuse"
    fresh = can & np.array([row["origin"] == "input" for row in corpus])
    seeds = representatives(vectors, clusters, wanted, fresh)
    if not seeds:
        return [], "no rows left to fuse"
    named = [kind if c else "" for kind, c in zip(kinds, can, strict=True)]
    groups = build_groups(corpus, vectors, label, named, seeds, group_size(config) - 1, config.group_similarity)
    return add_context(groups, vectors[seeds], *context) if config.context_row else groups, "round limit"


def run_rounds(
    pool: Sequence[Row], embeddings: Floats, clusters: Clusters, context: tuple[Sequence[Row], Floats],
    config: EntpConfig, client: ChatClient | None, gate: Gate,
) -> Mixed:  # fmt: skip
    """Fuse until enough rows are made, nothing new comes of it (`min_novelty`), rows or rounds run out.

    `pool` are the purged rows with embeddings (n, d) and clusters; `context` all rows that may be shown beside a
    group, with theirs. Made rows replace the rows that they used up, are embedded, and may be fused further;
    compositions (mosaic) are not, and a representative that failed is not tried again.
    """
    mixed = Mixed()
    corpus, vectors, label = list(pool), embeddings, clusters.label
    kinds = [kind_of(row) for row in corpus]
    accepted = embeddings[:0]
    done: set[str] = set()
    for number in range(1, config.rounds + 1):
        now = Clusters(label, clusters.centroid, clusters.silhouette)
        groups, mixed.stopped_by = round_groups(corpus, vectors, now, kinds, done, context, config)
        if not groups:
            break
        fusion = Round(groups, config, gate, accepted, number)
        figures = fusion.run(client)
        outcome, accepted = fusion.rows, np.concatenate([accepted, fusion.new_vectors()])
        mixed.rounds.append(figures)
        at = {row["id"]: i for i, row in enumerate(corpus)}
        keep = np.ones(len(corpus), bool)
        for group, row in zip(groups, outcome, strict=True):
            if row is None or group.representative["id"] not in row["parents"]:
                done.add(group.representative["id"])
            if row is None:
                continue
            for parent in row["parents"]:
                keep[at[parent]] = False
                mixed.used.append(_used(corpus[at[parent]], row))
            if row["origin"] == "mosaic":
                done.add(row["id"])
        made = [row for row in outcome if row is not None]
        kept = np.flatnonzero(keep)
        label = np.concatenate([label[kept], np.array([row["cluster"] for row in made], np.int64)])
        vectors = np.concatenate([vectors[kept], fusion.new_vectors()])
        corpus = [corpus[i] for i in kept] + made
        kinds = [kinds[i] for i in kept] + [kind_of(row) for row in made]
        if figures["novelty"] is not None and figures["novelty"] < config.min_novelty:
            mixed.stopped_by = f"mean novelty {figures['novelty']} under {config.min_novelty}"
            break
        if fusion.stopped:
            mixed.stopped_by = fusion.stopped
            break
    for row in corpus:
        rest = mixed.passed if row["id"] in done else mixed.unused
        (mixed.made if row["origin"] != "input" else rest).append(row)
    return mixed


def _used(row: Row, made: Row) -> Row:
    notes = "; ".join(filter(None, [row["notes"], f"into {made['id']}"]))
    return {**row, "dropped_by": f"mix:{made['origin']}", "notes": notes}
