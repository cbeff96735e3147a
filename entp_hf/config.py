"""Every setting in one flat dataclass: keyword arguments of `load_dataset`, flags of `entp`, YAML, a card table.

The comment above each block of settings names those whose defaults the paper (arXiv 2510.23160) does not fix.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import typing
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError

CHOICES: dict[str, tuple[str, ...]] = {
    "input_format": (
        "auto",
        "alpaca",
        "dolly",
        "sharegpt",
        "messages",
        "prompt_completion",
        "preference",
        "question_answer",
        "data",
    ),
    "bad_rows": ("refuse", "skip"),
    "correction": ("posterior", "simifeat", "none"),
    "pool": ("score", "quantile", "all"),
    "fuser": ("entp", "cure", "mosaic", "rewrite", "mergeit", "none"),
    "prompt_profile": ("small", "large", "classic"),
    "api": ("chat", "tgi"),
    "thinking": ("auto", "off"),
    "on_reject": ("mosaic", "passthrough"),
    "group_by": ("request", "text"),
    "engine": ("local", "ray"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "embedder_dtype": ("float32", "bfloat16", "float64"),
    "model_dtype": ("auto", "float32", "bfloat16"),
}
STYLES = ("plain", "format", "order", "subset")  # of mosaics
RATERS = ("column", "llm", "logits")  # or one's own, as package.module:attr
# setting: (lowest, highest); None is no bound
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "limit": (0, None), "neighbors": (2, 100), "damping": (-1, 1), "levels": (0, 6), "change_confidence": (0, 1),
    "pool_max_score": (0, 5), "pool_quantile": (0, 1), "purge_warn_share": (0, 1), "near_duplicate": (0.5, 1),
    "semantic_duplicate": (0.5, 1), "contamination_coverage": (0, 1), "silhouette_sample": (100, None),
    "max_groups": (0, None), "group_neighbors": (1, 8),
    "group_similarity": (-1, 1), "rounds": (1, 20), "min_novelty": (0, 1), "retries": (0, 5),
    "candidates": (1, 8), "gate_score": (-1, 1), "cure_below": (0, 5),
    "max_new_tokens": (16, 8192), "temperature": (0, 2), "gate_similarity": (-1, 1),
    "gate_coverage": (0, 1), "gate_parent_similarity": (-1, 1), "gate_sentence": (-1, 1),
    "gate_copy": (0, 1), "gate_duplicate": (0, 1), "gate_repeats": (0, 1), "gate_surplus": (1, None),
    "target_size": (1, None), "fusion_ratio": (0, 1),
    "high_quality_ratio": (0, 1), "concurrency": (0, 1024), "timeout": (1, None),
    "start_timeout": (0, None), "max_failure_rate": (0, 1),
    "rate_tokens": (16, 32768), "direct_tokens": (0, 32768), "total_timeout": (0, None),
    "requests_per_minute": (0, None), "tokens_per_minute": (0, None), "budget_calls": (0, None),
    "budget_tokens": (0, None), "budget_cost": (0, None), "batch_size": (1, 4096),
    "price_in": (0, None), "price_out": (0, None), "num_proc": (1, 256), "seed": (0, 2**32 - 1),
    "ray_workers": (0, None), "ray_gpus": (0, None),
}  # fmt: skip
# The first setting of each section, in order: headings of the YAML file and of `entp build --help`.
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

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
WRITER = "qwen2.5-coder-1.5b"  # fetched by `entp models fetch`; `models/known.py` says from where
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def section_of(setting: str) -> str:
    """The heading that a setting stands under."""
    heading = ""
    for field_ in dataclasses.fields(EntpConfig):
        heading = SECTIONS.get(field_.name, heading)
        if field_.name == setting:
            return heading
    raise KeyError(setting)


def _setting(default: Any, text: str) -> Any:
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class EntpConfig:
    """All settings of a run. `validate()` reports every problem at once; no secret is ever a setting."""

    # Input
    input_format: str = _setting("auto", "form of the input rows; auto finds it out by the columns")
    columns: list[str] = _setting([], "columns to rename on reading, as NEW=OLD: instruction=question output=answer")
    roles: list[str] = _setting(
        [], "role names to read as others, as NEW=OLD: assistant=narrator; ignore=OLD leaves such turns out"
    )
    split: str = _setting("train", "split of a Hub dataset")
    subset: str = _setting("", "subset (configuration) of a Hub dataset that has several; also as OWNER/NAME:SUBSET")
    bad_rows: str = _setting("refuse", "lines that can't be read: refuse the file | skip them, counted and listed")
    limit: int = _setting(0, "take a seeded sample of this many rows; 0: all")
    source_licenses: list[str] = _setting(
        [], "licences of the input, for the card: cc-by-sa-3.0; empty: as the Hub says"
    )
    # Rate
    raters: list[str] = _setting(["logits"], "column | llm | logits | package.module:attr, several at once")
    rating_columns: list[str] = _setting([], "columns that hold ratings 0..5, for the rater `column`; null: unrated")
    rater_model: str = _setting(
        "", "model of the raters `llm` and `logits`; empty: the chat model, SmolLM2 for logits where that is auto"
    )
    rater_endpoint: str = _setting("", "server of the rater `llm`; empty: as the fusion model")
    rate_tokens: int = _setting(160, "longest reply of the rater `llm`, in tokens; thinking models need 1,000 or more")
    # Correct. Not in the paper: damping, levels, gold_column.
    correction: str = _setting(
        "posterior", "posterior (EM and Bayes, not in the paper) | simifeat (the paper's) | none"
    )
    neighbors: int = _setting(10, "neighbors that vote on a row's true score (DS2: 10)")
    damping: float = _setting(-1.0, "weight 0..1 of a neighbor's rating beside the own; -1: by likelihood")
    levels: int = _setting(0, "latent quality levels; 0: as many, up to 6, as split halves of the data agree on")
    gold_column: str = _setting("", "column of trusted scores 0..5, null: not known; 30 or more calibrate")
    change_confidence: float = _setting(0.5, "a rating is replaced where the posterior is at least this (DS2: 0.5)")
    # Low-quality pool. Not in the paper: pool_quantile.
    pool: str = _setting("score", "score: up to pool_max_score | quantile: the lowest share | all")
    pool_max_score: int = _setting(3, "highest corrected score in the low-quality pool (DS2's high band is 4-5)")
    pool_quantile: float = _setting(0.5, "share of lowest expected scores in the pool, where pool is quantile")
    # Purge. Not in the paper: purge_warn_share, semantic_duplicate.
    purge_rules: list[str] = _setting([], "rules to run; empty: the default set (`entp purge --list`)")
    purge_off: list[str] = _setting([], "rules to leave out")
    purge_drop: list[str] = _setting([], "rules that only flag by default, but shall drop: refusal")
    purge_thresholds: list[str] = _setting([], "thresholds of rules, as RULE=NUMBER: repetition=0.4")
    purge_warn_share: float = _setting(0.1, "warn where one rule drops more than this share of the pool")
    near_duplicate: float = _setting(0.8, "MinHash Jaccard similarity that makes a near-duplicate")
    semantic_duplicate: float = _setting(0.97, "cosine similarity that makes a semantic duplicate; 1: off")
    benchmark_files: list[str] = _setting(
        [], "files (JSONL, JSON, CSV) or Hub ids of test items that no row may contain"
    )
    contamination_coverage: float = _setting(0.5, "share of a test item's n-grams in a row that makes it contaminated")
    # Embed, cluster, representatives. Not in the paper: embedder_dtype, cluster_counts, silhouette_sample.
    embedder: str = _setting(MINILM, "sentence-transformers model: Hub id or folder; or package.module:attr")
    embedder_dtype: str = _setting(
        "float32",
        "float32 | bfloat16: twice as fast on GPUs and on CPUs that have it | float64: the same on every processor",
    )
    cluster_counts: list[int] = _setting([], "numbers of clusters to try; empty: a grid fitted to the pool's size")
    silhouette_sample: int = _setting(5000, "rows that silhouettes are computed on")
    max_groups: int = _setting(0, "most fusion groups a round; 0: as many as the target needs")
    # Mix. Not in the paper: group_similarity, cure_below, rounds, min_novelty, max_new_tokens, temperature.
    fuser: str = _setting(
        "entp", "entp | cure (one row, answered anew) | mosaic (no LLM) | rewrite (one row) | mergeit (pairs) | none"
    )
    prompt_profile: str = _setting(
        "classic", "how entp asks: classic (paper's) | small (request, then its answer) | large (one planned reply)"
    )
    model: str = _setting(
        "auto",
        "chat model: auto (the writer if it was fetched, else SmolLM2), a name of `entp models list`, Hub id, folder, "
        "file.gguf, Hub repository and file as OWNER/NAME:Q4_K_M, or the server's name for it",
    )
    model_dtype: str = _setting(
        "auto", "numbers the chat model computes in: float32 | bfloat16 | auto: bfloat16 where the hardware has it"
    )
    endpoint: str = _setting("", "URL of an OpenAI-compatible or TGI server; empty: the model runs in this process")
    api: str = _setting("chat", "of the endpoint: chat (OpenAI's protocol) | tgi (TGI's own, with grammar)")
    provider: str = _setting("", "Hugging Face Inference Provider (auto, together, ...); the key comes from the login")
    group_neighbors: int = _setting(3, "neighbors in a fusion group (paper: m = 3; two or three rows merge best)")
    group_by: str = _setting(
        "text", "rows that entp groups: text (paper: whole rows) | request (same task, related by what they ask)"
    )
    group_similarity: float = _setting(
        0.35, "least cosine similarity of a group's rows to its representative, where grouped by text"
    )
    cure: bool = _setting(False, "answer rows anew that have no group to be fused with and a finding or a low score")
    cure_below: float = _setting(2.0, "a row without findings is answered anew below this expected score")
    context_row: bool = _setting(True, "add one related row of all available data to each group")
    direct_answer: bool = _setting(True, "add the model's own answer to the representative's instruction")
    rounds: int = _setting(2, "most rounds of fusion")
    min_novelty: float = _setting(0.05, "a round with less mean novelty is the last")
    retries: int = _setting(2, "times a refused fusion is asked again with the reason")
    candidates: int = _setting(1, "rows that the model writes for each group; the gate's score picks")
    candidate_model: str = _setting("", "picks by likelihood instead: the model to be tuned (Hub id or folder)")
    on_reject: str = _setting("mosaic", "a group that can't be fused: mosaic (composed without an LLM) | passthrough")
    mosaic_styles: list[str] = _setting(
        list(STYLES), "of compositions, drawn by the seed: plain, format, order, subset"
    )
    max_new_tokens: int = _setting(512, "longest reply of the fusion model, in tokens")
    direct_tokens: int = _setting(0, "longest direct answer, in tokens; 0: half of max_new_tokens")
    thinking: str = _setting("auto", "auto: as the model does by itself | off: it is told not to think")
    request_extras: dict[str, Any] = _setting(
        {}, "further parameters of a request to a server, as a mapping: {top_p: 0.9, reasoning_effort: low}"
    )
    judge_model: str = _setting(
        "", "model that rates (gate_rerate) and is asked about (gate_ask) rows; empty: the rater's"
    )
    judge_endpoint: str = _setting("", "server of judge_model; empty: the rater's")
    temperature: float = _setting(0.0, "sampling temperature; 0: greedy, the same bytes every time")
    prompt_dir: str = _setting("", "folder whose *.md files replace the built-in prompts of the same name")
    # Gate. None of its checks and bounds is in the paper.
    gate_similarity: float = _setting(0.5, "least cosine similarity of a fused row to its parents' mean")
    gate_parent_similarity: float = _setting(0.4, "least cosine similarity of a fused row to each parent")
    gate_coverage: float = _setting(0.33, "least share of each parent's words and sentences in a fused row")
    gate_sentence: float = _setting(0.28, "least cosine of each fused sentence to what its parents say")
    gate_copy: float = _setting(0.9, "share of a fused row in one block of one parent that makes it a copy")
    gate_duplicate: float = _setting(0.95, "cosine similarity to an accepted row that makes a duplicate")
    gate_repeats: float = _setting(0.15, "share of a fused row's items or sentences said before that is too much")
    gate_surplus: float = _setting(1.5, "most list items of a fused row for each that its question asks for")
    gate_contradiction: bool = _setting(True, "refuse numbers and names that stand in place of the parents' own")
    gate_unfinished: bool = _setting(True, "refuse answers that break off")
    gate_language: bool = _setting(True, "refuse answers in a language that no parent is in")
    gate_words: bool = _setting(
        True, "refuse missing texts, things said twice, tasks described in place of done, one row handed back"
    )
    gate_ask: bool = _setting(False, "ask the fusion model about each row, by next-token probabilities")
    gate_score: float = _setting(-1.0, "least learned score of a fused row; -1: as fitted, 0: off")
    gate_score_file: str = _setting("", "score.json made by `entp gate fit`; empty: the shipped one")
    gate_rerate: bool = _setting(False, "rate fused rows and refuse those below their best parent")
    # Hybrid dataset. Not in the paper: fusion_ratio, high_quality_ratio.
    target_size: int = _setting(10_000, "rows of the hybrid dataset (the paper's baselines: 10,000)")
    fusion_ratio: float = _setting(0.5, "share of generated rows in it, where there are enough")
    high_quality_ratio: float = _setting(0.0, "share of rows with high scores in it")
    keep_good: bool = _setting(False, "put every row with a high score into it, purged, beside target_size other rows")
    emit_preference: bool = _setting(False, "also write chosen/rejected pairs for DPO")
    # Running
    engine: str = _setting("local", "what runs ratings, purge and embeddings: local (this process) | ray (extra: ray)")
    ray_address: str = _setting(
        "", "cluster for engine ray: auto, HOST:6379; empty: one on this machine, 127.0.0.1 only"
    )
    ray_workers: int = _setting(0, "workers of engine ray; 0: one a CPU, or one for each ray_gpus")
    ray_gpus: float = _setting(0.0, "GPUs, or share of one, that a worker of engine ray takes")
    concurrency: int = _setting(0, "calls at once to a server; 0: as many as it computes at once, found out")
    timeout: float = _setting(120.0, "seconds of silence that end a call to a server")
    start_timeout: float = _setting(600.0, "seconds that a server may take to load its model, while it answers 503")
    max_failure_rate: float = _setting(0.5, "share of failed calls, of 50 or more, at which a run asks nothing more")
    total_timeout: float = _setting(0.0, "seconds after which a run asks nothing more; 0: no limit")
    requests_per_minute: int = _setting(0, "most calls to a server in any minute; 0: no limit")
    tokens_per_minute: int = _setting(0, "most tokens to and from a server in any minute; 0: no limit")
    budget_calls: int = _setting(0, "calls that a run may make, never passed; the cache costs none; 0: no limit")
    budget_tokens: int = _setting(0, "tokens that a run may use, never passed; 0: no limit")
    budget_cost: float = _setting(
        0.0, "money that a run may spend at price_in and price_out, never passed; 0: no limit"
    )
    batch_size: int = _setting(16, "rows at once in a model that runs in this process")
    device: str = _setting("auto", "auto | cpu | cuda | mps")
    num_proc: int = _setting(1, "processes for the purge")
    cache_dir: str = _setting("", "replies, embeddings, converted models; empty: $ENTP_CACHE or ~/.cache/entp")
    price_in: float = _setting(0.0, "price of a million prompt tokens, for --dry-run and the manifest")
    price_out: float = _setting(0.0, "price of a million reply tokens")
    seed: int = _setting(0, "seed of every random choice")

    def problems(self) -> list[str]:
        """Every problem of these values, in words; [] if there are none."""
        found: list[str] = []
        typed = True
        types = typing.get_type_hints(type(self))
        for setting in dataclasses.fields(self):
            value = getattr(self, setting.name)
            if not fits(value, types[setting.name]):
                found.append(f"{setting.name}: {value!r} is not {spelt(types[setting.name])}")
                typed = False
                continue
            if setting.name in CHOICES and value not in CHOICES[setting.name]:
                found.append(f"{setting.name}: {value!r} is not one of {', '.join(CHOICES[setting.name])}")
            low, high = BOUNDS.get(setting.name, (None, None))
            if (low is not None and value < low) or (high is not None and value > high):
                bound = f"from {low} to {high}" if high is not None else f"at least {low}"
                found.append(f"{setting.name}: {value} is out of range; it must be {bound}")
        return found + (self._contradictions() if typed else [])

    def _contradictions(self) -> list[str]:
        found = []
        if not self.raters and self.pool != "all":
            found.append("raters: none given; name one of column, llm, logits, or set pool to all")
        if "column" in self.raters and not self.rating_columns:
            found.append("raters: 'column' needs rating_columns, the names of the columns that hold the ratings")
        if self.rating_columns and "column" not in self.raters:
            found.append("rating_columns: given, but 'column' is not among the raters")
        if self.gold_column and self.correction != "posterior":
            found.append(f"gold_column: calibrates the correction 'posterior' alone, not {self.correction!r}")
        if self.gold_column in self.rating_columns:
            found.append(f"gold_column: {self.gold_column!r} is one of rating_columns; no rater can judge itself")
        for rater in self.raters:
            if rater not in RATERS and ":" not in rater:
                near = get_close_matches(rater, RATERS, n=1)
                known = f"did you mean {near[0]}?" if near else f"known: {', '.join(RATERS)}, package.module:attr"
                found.append(f"raters: no rater is called {rater!r}; {known}")
        if any(count < 1 for count in self.cluster_counts):
            found.append(f"cluster_counts: {min(self.cluster_counts)} is no number of clusters; give 1 or more")
        found += ["endpoint and provider: only one can be given"] * bool(self.endpoint and self.provider)
        found += ["api: 'tgi' needs endpoint, the URL of a TGI server"] * (self.api == "tgi" and not self.endpoint)
        if self.budget_cost and not (self.price_in or self.price_out):
            found.append("budget_cost: needs price_in and price_out, the prices of a million tokens")
        found += [
            f"request_extras: holds {name!r}; put the key into $ENTP_API_KEY instead"
            for name in self.request_extras
            if any(word in name.lower() for word in ("key", "token_", "secret", "authorization"))
        ]
        found += ["judge_endpoint: given, but gate_rerate is off; nothing would be asked of it"] * bool(
            self.judge_endpoint and not self.gate_rerate
        )
        if (self.endpoint or self.provider) and "logits" in self.raters and not self.rater_model:
            found.append("raters: 'logits' needs a model in this process; set rater_model, or use the rater 'llm'")
        if not self.mosaic_styles or set(self.mosaic_styles) - set(STYLES):
            found.append(f"mosaic_styles: {self.mosaic_styles} must name some of {', '.join(STYLES)}")
        if (share := self.fusion_ratio + self.high_quality_ratio) > 1:
            found.append(f"fusion_ratio + high_quality_ratio is {share:g}, over 1")
        found += ["levels: 1 can't tell rows apart; give 0 (chosen by the data) or 2 to 6"] * (self.levels == 1)
        for setting in ("ray_address", "ray_workers", "ray_gpus") if self.engine != "ray" else ():
            found += [f"{setting}: given, but engine is {self.engine!r}; set it to ray"] * bool(getattr(self, setting))
        for entry in self.roles:
            if entry.partition("=")[0] not in ("system", "user", "assistant", "tool", "ignore"):
                found.append(f"roles: {entry!r} must be NEW=OLD, NEW one of system, user, assistant, tool, ignore")
        for setting in ("columns", "roles", "purge_thresholds"):
            found += [
                f"{setting}: {entry!r} is not NAME=VALUE" for entry in getattr(self, setting) if "=" not in entry
            ]
        named = (self.purge_rules, self.purge_off, self.purge_drop, self.purge_thresholds)
        if any(named):
            from .rules.selection import rule_problems  # late: the rules' libraries take half a second to load

            found += rule_problems(*named)
        return found

    def validate(self) -> EntpConfig:
        """Return self; raise ConfigError with every problem found."""
        problems = self.problems()
        if problems:
            raise ConfigError(problems)
        return self

    def cache_path(self) -> Path:
        """Folder of the reply, embedding and model caches; made if absent."""
        path = Path(self.cache_dir or os.environ.get("ENTP_CACHE") or Path.home() / ".cache" / "entp")
        path.mkdir(parents=True, exist_ok=True)
        return path

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, in order."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EntpConfig:
        """Build from plain values; unknown names and all other problems are reported together."""
        names = [f.name for f in dataclasses.fields(cls)]
        problems = []
        for name in values:
            if name not in names:
                near = get_close_matches(str(name), names, n=1)
                problems.append(f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
        config = cls(**{name: widen(cls, name, value) for name, value in values.items() if name in names})
        problems += config.problems()
        if problems:
            raise ConfigError(problems)
        return config

    @classmethod
    def from_yaml(cls, path: str | Path, **overrides: Any) -> EntpConfig:
        """Read a YAML file; `overrides` win over it."""
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:  # PyYAML reads 2024-13-01 as a date: ValueError
            raise ConfigError([f"config file {path}: {getattr(error, 'strerror', None) or error}"]) from error
        if not isinstance(values, dict):
            raise ConfigError([f"config file {path}: holds {type(values).__name__}, not settings and values"])
        return cls.from_dict({**values, **overrides})

    def to_yaml(self) -> str:
        """The settings as YAML with each setting's help as a comment."""
        lines = []
        for setting in dataclasses.fields(self):
            value = yaml.safe_dump(getattr(self, setting.name), default_flow_style=True, width=10_000)
            if setting.name in SECTIONS:
                lines += [f"# --- {SECTIONS[setting.name]} ---", ""]
            value = value.removesuffix("...\n").strip()
            lines += [f"# {setting.metadata['help']}", f"{setting.name}: {value}", ""]
        return "\n".join(lines)


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
    if typing.get_origin(kind) is dict:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value) and _is_json(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def spelt(kind: Any) -> str:
    """The type in words."""
    if typing.get_origin(kind) is dict:
        return "a mapping of names to JSON values"
    if typing.get_origin(kind) is list:
        return "a list of " + {str: "strings", int: "whole numbers"}[typing.get_args(kind)[0]]
    return {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}[kind]
