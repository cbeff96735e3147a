"""Whole runs against a server that fails in every known way, and runs that are killed at any moment.

Larger than here, which takes a minute: ENTP_GROUPS=500 ENTP_KILLS=20 ENTP_STALL=20 pytest tests/test_reliability.py
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest
from merging_server import LASTING, PASSING, MergingServer, write_pool

from entp_hf.config import EntpConfig
from entp_hf.llm import server as calls
from entp_hf.pipeline.result import Result
from entp_hf.pipeline.run import run
from entp_hf.schema import text_of

GROUPS = int(os.environ.get("ENTP_GROUPS", "120"))
KILLS = int(os.environ.get("ENTP_KILLS", "3"))
STALL = float(os.environ.get("ENTP_STALL", "2"))
TIMEOUT = 1.0


def config(url: str, cache: Path, groups: int, **settings: object) -> EntpConfig:
    return EntpConfig.from_dict(
        {
            "raters": [],
            "pool": "all",
            "endpoint": url,
            "model": "m",
            "timeout": TIMEOUT,
            "cache_dir": str(cache),
            "fuser": "mergeit",
            "rounds": 1,
            "group_similarity": -1.0,
            "max_groups": groups,
            "target_size": 2 * groups,
            "near_duplicate": 1.0,
            "semantic_duplicate": 1.0,
            "concurrency": 32,
            "cluster_counts": [4],
            **settings,
        }
    )


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "BACKOFF", 0.05)
    for name in ("ENTP_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def numbers(row: dict) -> set[int]:
    """Which rows of the pool stand in a row: each has a number of its own."""
    return {int(n) for n in re.findall(r"\b\d{4,5}\b", text_of(row))}


def check(result: Result, rows: int) -> None:
    """Every row once; every made row holds what its parents say, and nothing of any other row."""
    everything = [*result.kept, *result.dropped]
    made = [row for row in everything if row["origin"] in ("fused", "mosaic")]
    assert len(everything) == rows + len(made) == len({row["id"] for row in everything})
    by_id = {row["id"]: row for row in everything}
    for row in made:
        assert numbers(row) == set().union(*(numbers(by_id[parent]) for parent in row["parents"]))
    assert Counter(row["dropped_by"] is None for row in everything)[True] == len(result.kept)


def test_every_group_is_done_whatever_the_server_does(tmp_path: Path) -> None:
    rows = GROUPS * 2 + GROUPS // 4
    pool = write_pool(tmp_path / "pool.jsonl", rows)
    with MergingServer(retry_after="1", stall=STALL) as server:
        result = run(str(pool), config(server.url, tmp_path / "cache", GROUPS))
        made_calls, faults = len(server.calls), server.faults
    assert set(faults) == {"", *LASTING, *PASSING}
    assert 0.2 < 1 - faults[""] / made_calls < 0.4
    (figures,) = result.manifest["fusion"]["rounds"]
    assert figures["groups"] == GROUPS
    assert figures["fused"] + figures["mosaic"] + figures["passthrough"] == GROUPS
    assert figures["fused"] >= 0.97 * GROUPS
    assert made_calls <= 1.6 * GROUPS
    check(result, rows)


def _build(pool: str, url: str, folder: str, out: str) -> None:
    calls.BACKOFF = 0.05
    settings = {"fuser": "entp", "group_neighbors": 1, "context_row": False, "concurrency": 4, "emit_preference": True}
    run(pool, config(url, Path(folder), 24, **settings)).save(Path(folder, out))


def _stored(cache: Path) -> set[str]:
    """Texts of the requests whose replies are in the file, those that failed left out."""
    if not (cache / "replies.sqlite").exists():
        return set()
    with sqlite3.connect(cache / "replies.sqlite", timeout=10) as connection:
        if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'replies'").fetchone()[0]:
            return set()
        found = connection.execute("SELECT request FROM replies WHERE NOT failed").fetchall()
    connection.close()
    return {json.loads(request)["messages"][-1][1] for (request,) in found}


def test_a_run_killed_again_and_again_ends_as_if_it_never_was(tmp_path: Path) -> None:
    pool = str(write_pool(tmp_path / "pool.jsonl", 60))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_reliability", "sentence_transformers", "sklearn.cluster", "faiss"])
    rng = random.Random(1)

    def start(server: MergingServer, out: str) -> multiprocessing.Process:
        worker = context.Process(target=_build, args=(pool, server.url, str(tmp_path / out), "result"))
        worker.start()
        return worker

    with MergingServer(retry_after="0.2", stall=STALL, delay=0.02) as server:
        _build(pool, server.url, str(tmp_path / "whole"), "result")
        total = len(server.calls)
        server.calls.clear()
        server.seen.clear()
        server.answered.clear()
        repeated: list[str] = []
        for part in range(KILLS):  # one in each part of the run, so that few are enough
            moment = 0.95 * total * (part + rng.random()) / KILLS
            stored, asked = _stored(tmp_path / "killed"), len(server.calls)
            worker = start(server, "killed")
            until = time.monotonic() + 120
            while len(server.calls) < moment and worker.is_alive() and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.1))
            worker.kill()
            worker.join()
            repeated += [
                c["body"]["messages"][-1]["content"]
                for c in server.calls[asked:]
                if c["body"]["messages"][-1]["content"] in stored
            ]
        last = start(server, "killed")
        last.join(300)
        assert last.exitcode == 0
        twice = sum(number - 1 for number in server.answered.values())
    assert repeated == []
    assert twice <= 4 * KILLS  # whole replies that were on their way at a kill: at most one for each slot
    for name in ("data/train.parquet", "dropped/train.parquet", "preference/train.parquet"):
        one, other = (tmp_path / folder / "result" / name for folder in ("whole", "killed"))
        assert one.read_bytes() == other.read_bytes()
