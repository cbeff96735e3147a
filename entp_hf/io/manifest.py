"""What ran: configuration, versions, counts, seconds, tokens. Report, card and summary are filled from it alone.

`RunRecord` lists its sections in the order of a run. A section that a run does not have is absent, never invented.
Each stage returns its own section, and the sections of the report take it.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from ..execution.progress import enter
from ..execution.source_hash import source_hash
from ..execution.threads import cpu_count

Info = dict[str, Any]

PACKAGES = (
    "datasets", "huggingface-hub", "transformers", "torch", "trl", "peft", "sentence-transformers", "scikit-learn",
    "faiss-cpu", "lm-eval",
)  # fmt: skip


class StageEntry(TypedDict):
    """One stage: its name, see `schema.STAGES`, its time, and the rows before and after it."""

    name: str
    seconds: float
    rows_in: int
    rows_out: int


class SourceFile(TypedDict, total=False):
    """A file or dataset that was read."""

    path: str
    rows: int
    form: str  # alpaca, dolly, sharegpt, messages ...
    sha256: str
    license: str
    languages: list[str]
    forms: dict[str, int]  # rows by format, where the file has several
    unused_columns: dict[str, int]  # rows by column that has a value which is not read; it stays in `original`
    unused_turns: list[str]  # those of them that look like conversations


class SkippedLine(TypedDict):
    """A line that could not be read, with `bad_rows` = skip."""

    file: str
    line: int
    reason: str


class InputSection(TypedDict):
    """The stage `read`."""

    files: list[SourceFile]
    rows: int
    marked: dict[str, int]  # rows that can't be used, by `dropped_by`
    unknown_roles: NotRequired[dict[str, int]]  # rows by role that has no meaning
    left_out: NotRequired[dict[str, int]]  # parts of rows that the messages have no place for, by kind
    skipped: NotRequired[int]  # lines that could not be read, with `bad_rows` = skip
    skipped_lines: NotRequired[list[SkippedLine]]  # the first of them


class RatingsSection(TypedDict):
    """Ratings of R raters, each counted over the scores 0..5."""

    names: list[str]  # R
    raw: list[list[int]]  # R x 6
    unrated: list[int]  # R
    corrected: list[int]  # 6
    changed: int
    mean_confidence: float | None  # null where nothing was corrected


class GoldSection(TypedDict, total=False):
    """The correction compared with trusted scores."""

    rows: int
    accuracy: float
    mean_confidence: float
    reliability: list[dict[str, float]]  # {confidence, accuracy, rows} of each bin


class CorrectionSection(TypedDict, total=False):
    """The correction of the ratings: L levels of quality, R raters. Only `method` and `basis` are always there."""

    method: str
    basis: str  # neighbors | raters | none
    levels: int
    level_scores: list[float]  # L
    prior: list[float]  # L
    transition: list[list[list[float]]]  # R x L x 6
    transition_se: list[list[list[float]]]  # R x L x 6
    identified: list[bool]  # L
    stability: list[dict[str, float]]  # {levels, error}
    failed: list[float]  # R
    damping: float
    surroundings: dict[str, Any]
    agreement: dict[str, float]  # near, far, shuffled, chance, raters, same_level
    gold: GoldSection
    notes: list[str]


class PoolSection(TypedDict):
    """The low-quality pool."""

    rows: int
    rule: str
    threshold: float | None
    high_quality: int


class RuleCounts(TypedDict):
    """Rows of one purge rule; a row counts once for each of the rule's actions."""

    found: int
    repaired: int
    dropped: int
    flagged: int
    seconds: float


class RepairExample(TypedDict):
    """One row's field before and after a rule; the texts are equal where the rule only marks it."""

    id: str
    before: str
    after: str
    action: str
    detail: str


class PurgeSection(TypedDict):
    """The purge."""

    rows_in: int
    rows_out: int
    seconds: NotRequired[float]
    rules: dict[str, RuleCounts]
    warnings: list[str]
    examples: dict[str, list[RepairExample]]


class MapPoint(TypedDict):
    """A row on the map of the clusters."""

    x: float
    y: float
    cluster: int
    representative: bool
    id: str
    text: str


class ClustersSection(TypedDict):
    """The clusters of the pool."""

    rows: int
    k: int
    silhouette: float
    curve: list[dict[str, float]]  # {k, silhouette} of each k that was tried
    sizes: list[int]  # k
    representatives: int
    warnings: list[str]
    map: list[MapPoint]


class RoundSection(TypedDict):
    """One round of fusion. Means are null where no row was accepted."""

    round: int
    groups: int
    fused: int
    cured: NotRequired[int]  # rows that the model answered anew
    mosaic: int
    passthrough: int
    attempts: int
    replies: NotRequired[int]  # to fusion requests, whole and without an error
    reasons: dict[str, int]  # of refusals
    similarity: float | None
    novelty: float | None
    reject_rate: float | None
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class FusionSection(TypedDict):
    """All rounds of fusion."""

    fuser: str
    model: str
    rounds: list[RoundSection]
    stopped_by: str
    triage: NotRequired[dict[str, int]]  # rows without a group, by what was to be done with them: keep, cure, drop
    no_replies: NotRequired[bool]  # the model was asked for fusions, and no reply came


class DatasetSection(TypedDict):
    """The finished dataset."""

    rows: int
    by_origin: NotRequired[dict[str, int]]
    dropped: int
    dropped_by: NotRequired[dict[str, int]]
    accounts: NotRequired[dict[str, int]]  # what became of the pool's rows
    preference: NotRequired[int]


class DiversitySection(TypedDict):
    """Measures of diversity of equally many rows as they came in (before) and of the dataset (after)."""

    rows: int
    before: dict[str, float]
    after: dict[str, float]


class ContaminationSection(TypedDict):
    """Test items of benchmarks that were found in rows."""

    items: int
    coverage: float
    rows: int
    by_benchmark: dict[str, int]  # rows dropped
    refused: int  # generated rows


class TokensSection(TypedDict):
    """Calls of language models, those answered from the cache among them."""

    calls: int
    cached_calls: int
    prompt: int
    completion: int
    cost: float


class FailedCalls(TypedDict):
    """Calls that got no reply, by server and reason; the next run asks them again."""

    client: str
    asked: int
    calls: int
    example: str


class SelectionSection(TypedDict):
    """`entp select`."""

    method: str
    paper: str
    n: int
    rows: int
    settings: dict[str, Any]
    target: str
    score: dict[str, float] | None  # lowest, median, highest


class RunRecord(TypedDict, total=False):
    """The manifest of a run."""

    entp_version: str
    created: str
    source_hash: str
    versions: dict[str, str]  # of the libraries that decide a run's figures
    cpus: int
    config: dict[str, Any]
    seconds: float
    warnings: list[str]
    stages: list[StageEntry]
    input: InputSection
    ratings: RatingsSection
    correction: CorrectionSection
    pool: PoolSection
    purge: PurgeSection
    clusters: ClustersSection
    fusion: FusionSection
    dataset: DatasetSection
    diversity: DiversitySection
    contamination: ContaminationSection
    tokens: TokensSection
    failed_calls: list[FailedCalls]
    selection: SelectionSection
    train: dict[str, Any]  # added by `entp train`
    eval: dict[str, Any]  # added by `entp eval`
    purge_accuracy: dict[str, Any]  # added by the demo


def record_of(manifest: Mapping[str, Any]) -> RunRecord:
    """A manifest as its typed sections: the same object, so that a type checker knows the keys."""
    return cast(RunRecord, manifest)


class Manifest(dict[str, Any]):
    """A `RunRecord` that is being filled, with a stopwatch for the stages."""

    @classmethod
    def start(cls, config: dict[str, Any]) -> Manifest:
        """A manifest with what is known before the run."""
        return cls(
            entp_version=importlib.metadata.version("entp-hf"),
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            source_hash=source_hash(),
            versions=installed_versions(),
            cpus=cpu_count(),
            config=config,
            seconds=0.0,
            warnings=[],
            stages=[],
            tokens={"calls": 0, "cached_calls": 0, "prompt": 0, "completion": 0, "cost": 0.0},
        )

    @contextmanager
    def stage(self, name: str, rows_in: int) -> Iterator[StageEntry]:
        """Time a stage; the caller sets `rows_out` in the entry it gets."""
        entry: StageEntry = {"name": name, "seconds": 0.0, "rows_in": rows_in, "rows_out": rows_in}
        enter(name, rows_in)
        begun = time.perf_counter()
        yield entry
        entry["seconds"] = round(time.perf_counter() - begun, 3)
        self["seconds"] = round(self["seconds"] + entry["seconds"], 3)
        self["stages"].append(entry)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read what `save` wrote."""
        return cls(json.loads(path.read_text(encoding="utf-8")))


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that decide a run's figures, those that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
