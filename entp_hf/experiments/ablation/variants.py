"""The variants of each study: configurations, and their names in its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...config import EntpConfig
from ...rules.registry import RULES


@dataclass(frozen=True)
class Variant:
    """One line of a study's table: `label` names its settings, `settings` are put over the study's configuration."""

    label: dict[str, Any]
    settings: dict[str, Any]


# Around each default, nearest values below and above that are in use (not in the paper).
AROUND: dict[str, tuple[float, ...]] = {
    "group_neighbors": (1, 2, 5),
    "group_similarity": (0.2, 0.5),
    "rounds": (1, 3),
    "gate_similarity": (0.3, 0.7),
    "gate_coverage": (0.2, 0.5),
    "gate_copy": (0.8, 0.95),
    "gate_duplicate": (0.9, 0.98),
    "fusion_ratio": (0.25, 0.75),
}
CLUSTERS = (2, 8, 32)
RATIOS = (0.25, 0.5, 0.75, 1.0)
ALL = 1_000_000_000  # a size that no pool reaches
NO_PURGE = {"near_duplicate": 1.0, "semantic_duplicate": 1.0}


def purge_vs_neural(config: EntpConfig, models: Sequence[str]) -> list[Variant]:
    """Rules alone, fusion alone, both; arms without fusion fill the whole dataset with rows of the pool."""
    off, plain = {"purge_off": list(RULES), **NO_PURGE}, {"fuser": "none", "fusion_ratio": 0.0}
    return [
        Variant({"arm": "neither"}, {**plain, **off}),
        Variant({"arm": "symbolic only"}, plain),
        Variant({"arm": "neural only"}, off),
        Variant({"arm": "both"}, {}),
    ]


def clusters_fusion(config: EntpConfig, models: Sequence[str]) -> list[Variant]:
    """Numbers of clusters times shares of made rows."""
    return [
        Variant({"clusters": k, "fusion_ratio": ratio}, {"cluster_counts": [k], "fusion_ratio": ratio})
        for k in CLUSTERS
        for ratio in RATIOS
    ]


def families(config: EntpConfig, models: Sequence[str]) -> list[Variant]:
    """One run for each fusing model."""
    return [Variant({"model": model}, {"model": model, "fuser": "entp"}) for model in models]


def convergence(config: EntpConfig, models: Sequence[str]) -> list[Variant]:
    """Rounds until no row is left, with no bound on novelty or on the rows made."""
    unbound = {"rounds": 6, "min_novelty": 0.0, "fusion_ratio": 1.0, "target_size": ALL}
    return [Variant({"rounds": "up to 6"}, unbound)]


def sensitivity(config: EntpConfig, models: Sequence[str]) -> list[Variant]:
    """Every setting of the fusion below and above its value, one at a time."""
    out = [Variant({"setting": "all", "value": "default"}, {})]
    for setting, values in AROUND.items():
        kind = type(getattr(config, setting))
        out += [
            Variant({"setting": setting, "value": v}, {setting: kind(v)})
            for v in values
            if v != getattr(config, setting)
        ]
    return out


def rules(config: EntpConfig, models: Sequence[str]) -> list[Variant]:
    """The purge with all rules, and without each."""
    names = [name for name in RULES if not config.purge_rules or name in config.purge_rules]
    return [Variant({"without": "-"}, {}), *(Variant({"without": name}, {"purge_off": [name]}) for name in names)]
