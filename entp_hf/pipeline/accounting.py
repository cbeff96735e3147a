"""Row accounting, diversity and contamination of a run, and its warning of a dataset that is too small."""

from __future__ import annotations

from collections import Counter

import numpy as np
from datasets import Dataset

from ..arrays import FloatMatrix
from ..config import EntpConfig
from ..embedding.diversity import SIDE, before_and_after
from ..embedding.embed import Embed
from ..errors import StageError
from ..execution.tables import column
from ..io.manifest import RunRecord
from ..mix.stage import MixResult
from ..purge.contamination.index import Contamination
from ..rules.selection import dataset_rules_off
from ..schema import USED_UP, DroppedBy, Origin, text_of


def diversity_section(came: FloatMatrix, kept: Dataset, config: EntpConfig) -> RunRecord:
    """The manifest's `diversity` as its one key, {} where there are too few rows; most embeddings are in the cache."""
    some = np.random.default_rng(config.seed).permutation(len(kept))[:SIDE]
    after = Embed.from_config(config).encode([text_of(kept[int(i)]) for i in some])
    found = before_and_after(came, after, config.seed)
    return {"diversity": found} if found else {}


def contamination_section(
    contamination: Contamination | None, dropped: Dataset, mixed: MixResult, config: EntpConfig
) -> RunRecord:
    """The manifest's `contamination` as its one key, {} where no benchmark was looked for."""
    if contamination is None or "contamination" in dataset_rules_off(config.purge_rules, config.purge_off):
        return {}
    out = [i for i, reason in enumerate(column(dropped, "dropped_by")) if reason == DroppedBy.by_rule("contamination")]
    worst = [next(f["detail"] for f in row if f["rule"] == "contamination") for row in dropped.select(out)["findings"]]
    found = Counter(detail.rpartition(", ")[0].rpartition(":")[0] for detail in worst)
    refused = sum(n for figures in mixed.rounds for reason, n in figures["reasons"].items() if "benchmark" in reason)
    items = len(set(contamination.items))
    return {
        "contamination": {
            "items": items,
            "coverage": contamination.coverage,
            "rows": len(worst),
            "by_benchmark": dict(found.most_common()),
            "refused": refused,
        }
    }


def size_warning(rows: int, config: EntpConfig) -> list[str]:
    """A warning where the dataset is smaller than asked for; nobody asked for the default, so it warns of none."""
    if rows >= config.target_size or config.target_size == EntpConfig.target_size:
        return []
    return [
        f"{rows:,} rows are in the dataset, target_size is {config.target_size:,}: there are no more rows that pass "
        "the rules and the gate. Give more input, or keep rows with high scores too (keep_good, high_quality_ratio)"
    ]


def account(total: int, pool: int, made: int, kept: Dataset, dropped: Dataset) -> dict[str, int]:
    """Check that every input row and every generated row is kept or dropped, once; StageError otherwise.

    Returns what became of the `pool` rows of the pool: fused into something, passed through, dropped with a reason, or
    left unused (fit, but over the size asked for); they add up, or that is a StageError too.
    """
    ids = column(kept, "id") + column(dropped, "id")
    if len(ids) != total + made or len(set(ids)) != len(ids):
        twice = sorted(key for key, times in Counter(ids).items() if times > 1)
        raise StageError(
            "assemble",
            f"{total} rows came in and {made} were made, but {len(kept)} were kept and {len(dropped)} dropped, "
            f"{len(ids) - len(set(ids))} of them twice; this is a fault of the program, please report it",
            twice,
        )
    columns = (column(dropped, name) for name in ("in_pool", "origin", "dropped_by"))
    why = [reason for low, origin, reason in zip(*columns, strict=True) if low and origin == Origin.INPUT]
    fused, unused = sum(reason in USED_UP.values() for reason in why), why.count(DroppedBy.OVER_TARGET)
    passed = column(kept, "origin").count(Origin.PASSTHROUGH)
    if passed + len(why) != pool:
        raise StageError(
            "assemble",
            f"the pool had {pool} rows, of which {passed} were passed through and {len(why)} dropped or used; this is "
            "a fault of the program, please report it",
        )
    left = len(why) - fused - unused
    return {"pool": pool, "fused": fused, "passed": passed, "dropped": left, "unused": unused}
