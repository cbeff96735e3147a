"""Mix: rounds of fusion over a shrinking corpus, then the hybrid dataset (method sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..arrays import FloatMatrix
from ..config import EntpConfig
from ..embedding.clustering import Clusters, cluster, map_of, representatives
from ..embedding.embed import Embed
from ..execution.stage import set_columns
from ..gate.gate import Gate
from ..io.manifest import ClustersSection, RoundSection
from ..llm.protocol import ChatClient
from ..schema import USED_UP, Origin, Row, instruction_of
from .fusion import FUSERS, Fuser, asks_with_context
from .groups import Group, add_context, build_groups, has_neighbor, related_groups
from .pool import ContextSearch, FusionPool, kinds_of
from .requests import request_bounds
from .round import Round
from .triage import triage, triaged


@dataclass
class MixResult:
    """What the rounds left: made rows, and for each row of the pool, by number, what became of it."""

    made: list[Row] = field(default_factory=list)
    passed: list[int] = field(default_factory=list)  # could not be fused: they go through as they are
    used: dict[int, Row] = field(default_factory=dict)  # row of the pool: the made row that replaced it
    used_made: list[Row] = field(default_factory=list)  # made rows that a later one replaced, `dropped_by` set
    unused: list[int] = field(default_factory=list)
    rounds: list[RoundSection] = field(default_factory=list)
    stopped_by: str = ""
    triage: dict[str, int] = field(default_factory=dict)  # rows without a group: keep, cure, drop


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
    corpus: FusionPool, clusters: Clusters, done: set[str], around: ContextSearch, config: EntpConfig
) -> tuple[list[Group], str]:
    """The groups of a round over `corpus`, and "round limit"; or none, and what is lacking.

    `done` are ids of rows that are not to be fused. The model has no part in this, so a plan can know it.
    """
    fuser = FUSERS[config.fuser]
    if fuser is not None and (fuser.cures and (fuser.size == 0 or config.group_by == "request")):
        return _related(corpus, clusters, done, around, config, fuser)
    vectors, least = corpus.embeddings(), config.group_similarity
    can = corpus.alive & np.array(
        [bool(kind) and key not in done for kind, key in zip(corpus.kinds, corpus.ids, strict=True)], bool
    )
    if group_size(config) > 1:
        can &= has_neighbor(vectors, corpus.label, _where(can, corpus.kinds), least)
    have = int((corpus.alive & ~corpus.fresh).sum())
    wanted = groups_possible(int(can.sum()), have, config)
    if not wanted:
        return [], "enough rows made" if have >= made_wanted(config) else "no rows left to fuse"
    seeds = representatives(vectors, replace(clusters, label=corpus.label), wanted, list(can & corpus.fresh))
    if not seeds:
        return [], "no rows left to fuse"
    kinds = _where(can, corpus.kinds)
    groups = build_groups(corpus, vectors, corpus.label, kinds, seeds, group_size(config) - 1, least)
    fuser = FUSERS[config.fuser]
    if config.context_row and fuser is not None and fuser.context:
        groups = add_context(groups, around.near(seeds))
    return groups, "round limit"


def _related(
    corpus: FusionPool, clusters: Clusters, done: set[str], around: ContextSearch, config: EntpConfig, fuser: Fuser
) -> tuple[list[Group], str]:
    """Groups of rows that one person could merge, and after them the rows that are to be cured one by one."""
    open_to = corpus.alive & np.array(
        [bool(k) and i not in done for k, i in zip(corpus.kinds, corpus.ids, strict=True)]
    )
    have = int((corpus.alive & ~corpus.fresh).sum())
    wanted = min(made_wanted(config) - have, config.max_groups or len(corpus))
    if wanted <= 0:
        return [], "enough rows made"
    groups: list[Group] = []
    if fuser.size is None:
        tasks = [task if there else "" for task, there in zip(corpus.tasks, open_to, strict=True)]
        can = np.array([bool(task) for task in tasks], bool) & corpus.fresh
        first = representatives(
            corpus.embeddings(), replace(clusters, label=corpus.label), min(wanted, int(can.sum())), list(can)
        )
        order = [*first, *np.setdiff1d(np.flatnonzero(can), first).tolist()]
        bounds = request_bounds(corpus.tasks, config.embedder)
        groups = related_groups(
            corpus, corpus.asks(Embed.from_config(config)), tasks, order, config.group_neighbors, bounds, wanted
        )
        if config.context_row and asks_with_context(fuser, config):
            at = {key: i for i, key in enumerate(corpus.ids)}
            groups = add_context(groups, around.near([at[group.representative["id"]] for group in groups]))
    if config.cure or fuser.size == 0:
        inside = {row["id"] for group in groups for row in group.rows}
        alone = open_to & corpus.fresh & np.array([key not in inside for key in corpus.ids], bool)
        for i in np.flatnonzero(alone).tolist():
            if len(groups) == wanted:
                break
            row = corpus[i]
            if triage(row, config) == "cure":
                groups.append(Group(row, ()))
    return groups, "round limit" if groups else "no rows left to fuse"


def _where(mask: NDArray[np.bool_], kinds: Sequence[str]) -> list[str]:
    return [kind if there else "" for kind, there in zip(kinds, mask, strict=True)]


def run_rounds(
    corpus: FusionPool,
    clusters: Clusters,
    around: ContextSearch,
    config: EntpConfig,
    client: ChatClient | None,
    gate: Gate,
) -> MixResult:
    """Fuse until enough rows are made, nothing new comes of it (`min_novelty`), rows or rounds run out.

    `corpus` are the purged rows, and takes in what is made of them; `around` all rows that may be shown beside a
    group. Made rows replace the rows that they used up, are embedded, and may be fused further; compositions (mosaic)
    are not, and a representative that failed is not tried again.
    """
    mixed = MixResult()
    accepted = corpus.vectors[:0]
    done: set[str] = set()
    for number in range(1, config.rounds + 1):
        groups, mixed.stopped_by = round_groups(corpus, clusters, done, around, config)
        if not groups:
            break
        fusion = Round(groups, config, gate, accepted, number)
        figures = fusion.run(client)
        mixed.rounds.append(figures)
        at = {key: i for i, key in enumerate(corpus.ids)}
        for group, row in zip(groups, fusion.rows, strict=True):
            if row is None or group.representative["id"] not in row["parents"]:
                done.add(group.representative["id"])
            if row is None:
                continue
            for parent in row["parents"]:
                corpus.alive[at[parent]] = False
                if at[parent] < len(corpus.pool):
                    mixed.used[at[parent]] = row
                else:
                    mixed.used_made.append(used(corpus[at[parent]], row))
            if row["origin"] == Origin.MOSAIC:
                done.add(row["id"])
        new = fusion.new_vectors()
        corpus.add([row for row in fusion.rows if row is not None], new)
        accepted = np.concatenate([accepted, new])
        if figures["novelty"] is not None and figures["novelty"] < config.min_novelty:
            mixed.stopped_by = f"mean novelty {figures['novelty']} under {config.min_novelty}"
            break
        if fusion.stopped:
            mixed.stopped_by = fusion.stopped
            break
    fuser = FUSERS[config.fuser]
    if fuser is not None and fuser.cures:
        mixed.triage = triaged((corpus[i] for i in range(len(corpus.pool)) if _alone(mixed, i)), config)
    for i in np.flatnonzero(corpus.alive).tolist():
        if i >= len(corpus.pool):
            mixed.made.append(corpus[i])
        else:
            (mixed.passed if corpus.ids[i] in done else mixed.unused).append(i)
    return mixed


def _alone(mixed: MixResult, number: int) -> bool:
    """Whether no group of several rows used this row of the pool up."""
    return number not in mixed.used or mixed.used[number]["origin"] == Origin.CURED


def used(row: Row, made: Row) -> Row:
    """The row as one that `made` replaced."""
    notes = "; ".join(filter(None, [row["notes"], f"into {made['id']}"]))
    return {**row, "dropped_by": USED_UP[made["origin"]], "notes": notes}


def find_clusters(
    pool: Dataset, vectors: FloatMatrix, config: EntpConfig
) -> tuple[FusionPool, Clusters, ClustersSection]:
    """Cluster the pool and mark its representatives; returns it as a corpus, and the manifest's `clusters`."""
    found = cluster(vectors, config.cluster_counts, config.silhouette_sample, config.seed)
    kinds = kinds_of(pool)
    can = [bool(kind) for kind in kinds]
    wanted = groups_possible(sum(can), 0, config) or min(len(pool), found.k)
    chosen = set(representatives(vectors, found, wanted, can))
    pool = set_columns(pool, {"cluster": found.label, "representative": [i in chosen for i in range(len(pool))]})
    return (
        FusionPool(pool, vectors, found.label, kinds),
        found,
        {
            "rows": len(pool),
            "k": found.k,
            "silhouette": round(found.silhouette, 4),
            "curve": [{"k": k, "silhouette": s} for k, s in found.curve],
            "sizes": found.sizes(),
            "representatives": len(chosen),
            "warnings": found.warnings(),
            "map": map_of(vectors, found, chosen, lambda i: (pool[i]["id"], instruction_of(pool[i])), config.seed),
        },
    )
