"""The dry run against the run: what it says exactly, and what it says as a bound."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from merging_server import write_pool
from tiny import tiny_llama

from entp_hf.config import EntpConfig
from entp_hf.pipeline.plan import plan
from entp_hf.pipeline.run import run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_llama(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_pool(tmp_path_factory.mktemp("pool") / "pool.jsonl", 50))


def config(model: str, folder: Path, **settings: object) -> EntpConfig:
    return EntpConfig.from_dict(
        {
            "raters": [],
            "pool": "all",
            "model": model,
            "cache_dir": str(folder),
            "fuser": "mergeit",
            "rounds": 1,
            "retries": 0,
            "max_groups": 8,
            "target_size": 20,
            "group_similarity": -1.0,
            "max_new_tokens": 16,
            "cluster_counts": [2],
            **settings,
        }
    )


def lines(inputs: object, settings: EntpConfig, exact: bool = True) -> dict[str, tuple[float, float]]:
    found = plan(inputs, settings, exact=exact)
    assert found.exact == exact
    return {what: (least, most) for what, least, most in found.lines}


def test_calls_and_prompt_tokens_are_the_runs_own(model: str, pool: str, tmp_path: Path) -> None:
    settings = config(model, tmp_path, context_row=False)
    said, tokens = lines(pool, settings), run(pool, settings).manifest["tokens"]
    assert said["fusion groups"] == (8, 8)
    assert said["LLM calls"] == (tokens["calls"], tokens["calls"]) == (8, 8)
    assert said["prompt tokens, about"] == (tokens["prompt"], tokens["prompt"])
    assert tokens["completion"] <= said["reply tokens, about"][1] == 8 * 16


def test_direct_answers_retries_and_rounds_are_bounded(model: str, pool: str, tmp_path: Path) -> None:
    settings = config(model, tmp_path, fuser="rewrite", context_row=False, rounds=2, retries=1)
    said, tokens = lines(pool, settings), run(pool, settings).manifest["tokens"]
    for what, used in (("LLM calls", "calls"), ("prompt tokens, about", "prompt")):
        assert said[what][0] <= tokens[used] <= said[what][1]
    assert said["LLM calls"][0] == 16


def test_groups_of_later_rounds_are_bounded_without_a_model_too(model: str, pool: str, tmp_path: Path) -> None:
    settings = config(model, tmp_path, fuser="mosaic", rounds=2, max_groups=0, target_size=40)
    rounds = run(pool, settings).manifest["fusion"]["rounds"]
    least, most = lines(pool, settings)["fusion groups"]
    assert len(rounds) == 2 and least == rounds[0]["groups"] < sum(r["groups"] for r in rounds) <= most


def test_without_a_tokenizer_prompts_are_within_a_third(model: str, pool: str, tmp_path: Path) -> None:
    exact = lines(pool, config(model, tmp_path))["prompt tokens, about"][0]
    about = lines(pool, config("owner/elsewhere", tmp_path, endpoint="http://127.0.0.1:9/v1"))["prompt tokens, about"][
        0
    ]
    assert about == pytest.approx(exact, rel=0.33)


def test_bounds_hold_what_the_exact_plan_says(model: str, pool: str, tmp_path: Path) -> None:
    settings = config(model, tmp_path)
    (least, most), exact = lines(pool, settings, exact=False)["LLM calls"], lines(pool, settings)["LLM calls"]
    assert (least, most) == (0, exact[1]) and exact[0] == exact[1]  # the purge might leave no two rows alike


def test_ratings_that_a_model_must_give_leave_bounds(model: str, tmp_path: Path) -> None:
    rows = Dataset.from_list([{"instruction": f"Say {i}.", "output": f"It is {i}."} for i in range(10)])
    found = plan(rows, config(model, tmp_path, raters=["llm"], pool="score"), exact=True)
    assert not found.exact
    assert dict((what, (a, b)) for what, a, b in found.lines)["LLM calls"] == (10, 20 + 5)


def test_a_sample_tells_the_tokens_within_a_tenth_and_the_cache_exactly(model: str, pool: str, tmp_path: Path) -> None:
    settings = config(model, tmp_path, fuser="rewrite", context_row=False, max_groups=12, target_size=40)
    names = ("prompt tokens, expected", "reply tokens, expected")
    assert names[0] not in lines(pool, settings)
    said = {what: (least, most) for what, least, most in plan(pool, settings, exact=True, sample=4).lines}
    tokens = run(pool, settings).manifest["tokens"]
    assert said["LLM calls"] == (tokens["calls"],) * 2 == (24, 24)
    assert tokens["cached_calls"] == 8  # the sample was asked for the run
    after = lines(pool, settings)
    for name, used in zip(names, ("prompt", "completion"), strict=True):
        assert said[name][0] == pytest.approx(tokens[used], rel=0.1)
        assert after[name] == (tokens[used],) * 2


def test_replies_to_other_rows_tell_how_long_the_next_will_be(model: str, pool: str, tmp_path: Path) -> None:
    settings = config(model, tmp_path, limit=24)
    run(pool, settings)
    other = config(model, tmp_path, limit=24, seed=5, retries=1)
    found = lines(pool, other)["reply tokens of the first attempts, expected"]
    tokens = run(pool, config(model, tmp_path, limit=24, seed=5)).manifest["tokens"]
    assert tokens["cached_calls"] <= 2  # a group that both samples have
    assert found[0] == pytest.approx(tokens["completion"], rel=0.1)
