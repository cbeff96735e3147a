"""What the knobs of `config.EntpConfig` may be, and the sections that they stand in."""

from __future__ import annotations

import math
import typing
from typing import Any

CHOICES: dict[str, tuple[str, ...]] = {
    "input_format": ("auto", "alpaca", "dolly", "sharegpt", "messages", "prompt_completion"),
    "correction": ("posterior", "simifeat", "none"),
    "pool": ("score", "quantile", "all"),
    "fuser": ("entp", "mosaic", "rewrite", "mergeit", "none"),
    "api": ("chat", "tgi"),
    "on_reject": ("mosaic", "passthrough"),
    "engine": ("local", "ray"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "embedder_dtype": ("float32", "bfloat16"),
}
STYLES = ("plain", "format", "order", "subset")  # of mosaics
RATERS = ("column", "llm", "logits")  # or one's own, as package.module:attr
# knob: (lowest, highest); None is no bound
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "limit": (0, None), "neighbors": (2, 100), "damping": (-1, 1), "levels": (0, 6), "change_confidence": (0, 1),
    "pool_max_score": (0, 5), "pool_quantile": (0, 1), "purge_warn_share": (0, 1), "near_duplicate": (0.5, 1),
    "semantic_duplicate": (0.5, 1), "contamination_coverage": (0, 1), "silhouette_sample": (100, None),
    "max_groups": (0, None), "group_neighbors": (1, 8),
    "group_similarity": (-1, 1), "rounds": (1, 20), "min_novelty": (0, 1), "retries": (0, 5),
    "max_new_tokens": (16, 8192), "temperature": (0, 2), "gate_similarity": (-1, 1),
    "gate_coverage": (0, 1), "gate_parent_similarity": (-1, 1), "gate_sentence": (-1, 1),
    "gate_copy": (0, 1), "gate_duplicate": (0, 1), "gate_repeats": (0, 1), "gate_surplus": (1, None),
    "target_size": (1, None), "fusion_ratio": (0, 1),
    "high_quality_ratio": (0, 1), "concurrency": (1, 1024), "timeout": (1, None), "total_timeout": (0, None),
    "requests_per_minute": (0, None), "tokens_per_minute": (0, None), "budget_calls": (0, None),
    "budget_tokens": (0, None), "budget_cost": (0, None), "batch_size": (1, 4096),
    "price_in": (0, None), "price_out": (0, None), "num_proc": (1, 256), "seed": (0, 2**32 - 1),
    "ray_workers": (0, None), "ray_gpus": (0, None),
}  # fmt: skip

# The first knob of each section, in order: headings of the YAML file and of `entp build --help`.
SECTIONS = {
    "input_format": "Input",
    "raters": "Rate",
    "correction": "Correct",
    "pool": "Low-quality pool",
    "purge_rules": "Purge",
    "embedder": "Embed and cluster",
    "fuser": "Mix",
    "gate_similarity": "Gate",
    "target_size": "Hybrid dataset",
    "engine": "Running",
}


def widen(cls: type, name: str, value: Any) -> Any:
    """Whole numbers as floats, tuples as lists, where the field `name` of the dataclass `cls` is one."""
    kind = typing.get_type_hints(cls)[name]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if typing.get_origin(kind) is list and isinstance(value, tuple):
        return list(value)
    return value


def fits(value: Any, kind: Any) -> bool:
    """True if `value` is of the type `kind`: true is no number, NaN and infinity are none either."""
    if typing.get_origin(kind) is list:
        item = typing.get_args(kind)[0]
        return isinstance(value, list) and all(fits(v, item) for v in value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind)


def spelt(kind: Any) -> str:
    """The type in words."""
    if typing.get_origin(kind) is list:
        return "a list of " + {str: "strings", int: "whole numbers"}[typing.get_args(kind)[0]]
    return {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}[kind]
