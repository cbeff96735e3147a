"""The whole method, in the order of the paper: rate, correct, pool, purge, cluster, mix, gate, hybrid dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from datasets import Dataset, concatenate_datasets

from ..arrays import FloatMatrix
from ..config import EntpConfig
from ..correction.stage import choose_pool, correct, space_of
from ..embedding.clustering import Clusters
from ..embedding.diversity import SIDE
from ..embedding.embed import Embed
from ..embedding.neighbors import Space
from ..errors import ConfigError, require
from ..execution.ray_engine import RayEngine
from ..execution.stage import set_columns
from ..execution.tables import as_dataset, column, each, gathered, pick, set_aside
from ..execution.usage import Usage, metered
from ..gate.gate import Gate
from ..io.manifest import DatasetSection, FailedCalls, FusionSection, Manifest, PurgeSection, TokensSection
from ..io.paths import is_hub_name
from ..io.reader import read_rows
from ..io.sources import Source
from ..llm.budget import Ledger, Limits, spending
from ..llm.factory import Role, make_client, model_of, settled
from ..mix.assembly import assemble, preference_pairs
from ..mix.fusion import FUSERS
from ..mix.pool import ContextSearch, FusionPool
from ..mix.stage import find_clusters, run_rounds
from ..models.loading import find
from ..purge.contamination.index import Contamination
from ..purge.stage import purge, usable
from ..rating.stage import mark_unrated, rate_rows
from ..schema import DroppedBy
from . import accounting
from .result import Result


def run(inputs: Source | Sequence[Source], config: EntpConfig | None = None) -> Result:
    """Turn a pool of SFT rows into a hybrid dataset.

    `inputs`: files, folders, globs, Hub ids, or datasets in memory. Raises ConfigError, InputError, ModelNotFound or
    MissingExtra before anything expensive, and StageError where a stage can't go on.
    """
    config = settled((config or EntpConfig()).validate())
    check_inputs(config)
    manifest = Manifest.start(config.to_dict())
    with metered() as usage, spending(Limits.from_config(config)) as ledger:
        result = _run(inputs, config, manifest)
    manifest["tokens"] = _tokens(usage, config)
    manifest["failed_calls"] = failed_calls(ledger)
    manifest["warnings"] += [*_stopped(ledger), *_no_work(manifest)]
    return result


@dataclass(frozen=True)
class Prepared:
    """State of a run before the first fusion. `corpus`: the purged low-quality rows."""

    total: int  # rows that came in
    corpus: FusionPool
    clusters: Clusters
    good: Dataset
    around: ContextSearch
    out: list[Dataset]  # rows that a stage dropped
    contamination: Contamination | None
    came: FloatMatrix  # embeddings of a sample of the low-quality rows as they came in


def prepare(inputs: Source | Sequence[Source], config: EntpConfig, manifest: Manifest) -> Prepared:
    """Read, rate, correct, purge, embed, cluster. A model is asked only by the raters that need one."""
    rows, out, space = _scored(inputs, config, manifest)
    contamination = Contamination.from_config(config)
    rows, low, manifest["pool"] = choose_pool(rows, config)
    good, at = pick(rows, ~low), np.flatnonzero(low)
    with manifest.stage("purge", len(at)) as stage:
        vectors = gathered(space.vectors, at)
        near = space.among(at) if config.semantic_duplicate < 1 and len(rows) > 1 else None
        after, stay, manifest["purge"] = purge(pick(rows, low), vectors, config, contamination, near)
        del near
        pool, purged = pick(after, stay), pick(after, ~stay)
        stage["rows_out"] = len(pool)
    with manifest.stage("cluster", len(pool)) as stage:
        vectors = Embed.from_config(config).renewed(gathered(vectors, np.flatnonzero(stay)), pool)
        corpus, clusters, manifest["clusters"] = find_clusters(pool, vectors, config)
        stage["rows_out"] = manifest["clusters"]["representatives"]
    around = ContextSearch(space, corpus.pool, good, at[stay], np.flatnonzero(~low))
    total = len(rows) + sum(len(part) for part in out)
    came = gathered(space.vectors, np.random.default_rng(config.seed).permutation(at)[: 2 * SIDE])
    return Prepared(total, corpus, clusters, good, around, [*out, purged], contamination, came)


def _run(inputs: Source | Sequence[Source], config: EntpConfig, manifest: Manifest) -> Result:
    before = prepare(inputs, config, manifest)
    pool, good = before.corpus.pool, before.good
    client = make_client(config) if FUSERS[config.fuser] is not None else None
    with manifest.stage("mix", len(pool)) as stage:
        gate = Gate.from_config(config, before.contamination, asks=client is not None)
        mixed = run_rounds(before.corpus, before.clusters, before.around, config, client, gate)
        stage["rows_out"] = len(mixed.made)
    fusion: FusionSection = {
        "fuser": config.fuser,
        "model": client.name if client else "",
        "rounds": mixed.rounds,
        "stopped_by": mixed.stopped_by,
        "triage": mixed.triage,
    }
    manifest["fusion"] = fusion
    kept, left, over = assemble(mixed, pool, usable(good, config, before.contamination), config)
    placed = set(column(kept, "id"))
    good = pick(good, np.array([key not in placed for key in column(good, "id")], bool))
    good = set_columns(good, {"dropped_by": [DroppedBy.HIGH_QUALITY] * len(good)})
    parts = [part for part in (*before.out, left, as_dataset(over), good) if len(part)]
    dropped = concatenate_datasets(parts or [as_dataset([])])
    generated = len(mixed.made) + len(mixed.used_made)
    accounts = accounting.account(before.total, manifest["pool"]["rows"], generated, kept, dropped)
    pairs = preference_pairs(each(kept), pool) if config.emit_preference else None
    dataset: DatasetSection = {
        "rows": len(kept),
        "by_origin": dict(Counter(column(kept, "origin"))),
        "dropped": len(dropped),
        "dropped_by": dict(Counter(column(dropped, "dropped_by")).most_common()),
        "accounts": accounts,
        "preference": len(pairs) if pairs is not None else 0,
    }
    manifest["dataset"] = dataset
    manifest.update(accounting.diversity_section(before.came, kept, config))
    manifest.update(accounting.contamination_section(before.contamination, dropped, mixed, config))
    manifest["warnings"] += [*manifest["purge"]["warnings"], *manifest["clusters"]["warnings"]]
    manifest["warnings"] += accounting.size_warning(len(kept), config)
    return Result(kept, dropped, manifest, pairs)


def _scored(
    inputs: Source | Sequence[Source], config: EntpConfig, manifest: Manifest, embeds: bool = True
) -> tuple[Dataset, list[Dataset], Space]:
    """Read, rate, embed, correct: rows that can be used, those that can't, and the embeddings of the former."""
    with manifest.stage("read", 0) as stage:
        rows, manifest["input"] = read_rows(inputs, config)
        stage["rows_in"] = stage["rows_out"] = len(rows)
    rows, unusable = set_aside(rows)
    with manifest.stage("rate", len(rows)) as stage:
        rows, names = rate_rows(rows, config)
        rows, unrated = set_aside(mark_unrated(rows) if names else rows)
        stage["rows_out"] = len(rows)
    vectors = np.zeros((len(rows), 0), np.float32)
    if embeds:
        with manifest.stage("embed", len(rows)):
            embed = Embed.from_config(config)
            vectors = embed.encode_rows(rows, desc="embed")
            if unread := embed.count_unread(vectors, rows):
                manifest["warnings"].append(
                    f"{unread:,} of {len(rows):,} rows are in scripts that the embedder {config.embedder} has no word"
                    " pieces for: they take no part in semantic duplicates, neighbors and groups. A multilingual"
                    " embedder reads them"
                )
    with manifest.stage("correct", len(rows)):
        space = space_of(rows, vectors, config)
        rows, found = correct(rows, space if embeds else None, names, config)
    manifest.update(found)
    return rows, [unusable, unrated], space


def score_rows(
    inputs: Source | Sequence[Source], config: EntpConfig, corrected: bool = True
) -> tuple[Dataset, Dataset, Manifest]:
    """Rate alone, or rate and correct: rows with scores, rows without, and the figures.

    Ratings that are not `corrected` become scores as they came, and nothing is embedded.
    """
    config = settled(config)
    if not corrected:
        config = replace(config, correction="none", gold_column="")
    check_inputs(replace(config.validate(), fuser="none"), embeds=corrected)
    manifest = Manifest.start(config.to_dict())
    with metered() as usage, spending(Limits.from_config(config)) as ledger:
        rows, out, _ = _scored(inputs, config, manifest, embeds=corrected)
    manifest["tokens"] = _tokens(usage, config)
    manifest["failed_calls"] = failed_calls(ledger)
    manifest["warnings"] += _stopped(ledger)
    return rows, concatenate_datasets(out), manifest


def purge_rows(rows: Dataset, config: EntpConfig) -> tuple[Dataset, Dataset, PurgeSection]:
    """The symbolic rules alone, over all rows of `schema.FEATURES`: kept, dropped, and the manifest's `purge`.

    Without embeddings, so semantic duplicates are not looked for.
    """
    after, stay, report = purge(rows, None, config, Contamination.from_config(config))
    return pick(after, stay), pick(after, ~stay), report


def check_inputs(config: EntpConfig, embeds: bool = True) -> None:
    """Check that the models and benchmark files of a run can be had, before anything expensive.

    Raises ConfigError, ModelNotFound or MissingExtra.
    """
    absent = [path for path in config.benchmark_files if not (Path(path).exists() or is_hub_name(path))]
    if absent:
        raise ConfigError([f"benchmark_files: {path} does not exist" for path in absent])

    if (ray := RayEngine.from_config(config)) is not None:
        ray.check()
    if embeds:
        Embed.from_config(config).check()
    if local := _local_models(config):
        require("transformers", "models", "a model in this process")
        for name in local:
            find(name, str(config.cache_path()))


def _local_models(config: EntpConfig) -> list[str]:
    """The models that a run loads into this process."""
    needed: dict[Role, bool] = {"fusion": FUSERS[config.fuser] is not None, "rater": "llm" in config.raters}
    asked = [model_of(config, role) for role, asks in needed.items() if asks]
    found = [model for model, endpoint in asked if not (endpoint or config.provider)]
    found += [config.rater_model or config.model] * ("logits" in config.raters)
    return list(dict.fromkeys(found))


def _stopped(ledger: Ledger) -> list[str]:
    """Why calls were not made, or did not count: limits of the run, and what its servers did."""
    found = [
        f"some calls were not made: {ledger.refused}. Raise the limit and run again: no reply is paid for twice"
    ] * bool(ledger.refused)
    for state in ledger.servers.values():
        found += [f"the asking was stopped: {state.stopped}. The next run goes on from there"] * bool(state.stopped)
        found += state.warnings.values()
    for entry in failed_calls(ledger):
        found.append(f"{entry['calls']:,} of {entry['asked']:,} calls to {entry['client']} failed: {entry['example']}")
    return found


def failed_calls(ledger: Ledger) -> list[FailedCalls]:
    """The failed calls of a run by server and reason, the most frequent first: client, asked, calls, example."""
    return [
        {"client": name, "asked": state.asked, "calls": calls, "example": state.examples[reason]}
        for name, state in ledger.servers.items()
        for reason, calls in state.failed.most_common()
    ]


def _no_work(manifest: Manifest) -> list[str]:
    """A warning where the model was asked for fusions and not one reply came (`entp build` ends with status 3)."""
    rounds = manifest["fusion"]["rounds"]
    groups, replies = (sum(entry[key] for entry in rounds) for key in ("groups", "replies"))
    manifest["fusion"]["no_replies"] = bool(manifest["fusion"]["model"] and groups and not replies)
    if not manifest["fusion"]["no_replies"]:
        return []
    return [f"no whole reply came to any of {groups:,} fusions: no row of this dataset is the model's work"]


def _tokens(usage: Usage, config: EntpConfig) -> TokensSection:
    cost = (usage.prompt * config.price_in + usage.completion * config.price_out) / 1e6
    return {
        "calls": usage.calls,
        "cached_calls": usage.cached_calls,
        "prompt": usage.prompt,
        "completion": usage.completion,
        "cost": round(cost, 6),
    }
