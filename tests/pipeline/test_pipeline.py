"""Whole runs: real files, the embedded embedder, the embedded chat model."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, load_dataset
from example_run import manifest

import entp_hf
from entp_hf.cli.console import show_summary
from entp_hf.config import EntpConfig
from entp_hf.data import pool_files
from entp_hf.errors import ConfigError, InputError, ModelNotFound, StageError
from entp_hf.pipeline import accounting
from entp_hf.pipeline.run import purge_rows, run
from entp_hf.rules.selection import defects
from entp_hf.schema import FEATURES, text_of

DATA = Path(__file__).parents[3] / "shared" / "data"
RATERS = ["score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3"]


def rated_pool(path: Path, rows: int = 256) -> str:
    """The shipped pool with made-up ratings of two raters, so that no model has to rate."""
    rng = np.random.default_rng(0)
    lines = []
    for text in Path(pool_files()[0]).read_text(encoding="utf-8").splitlines()[:rows]:
        row = json.loads(text)
        true = 4 if row["quality"] == "good" else 1
        row["one"], row["two"] = (int(np.clip(true + rng.integers(-1, 2), 0, 5)) for _ in range(2))
        lines.append(json.dumps(row, ensure_ascii=False))
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


SETTINGS = {
    "raters": ["column"],
    "rating_columns": ["one", "two"],
    "fuser": "mosaic",
    "target_size": 60,
    "max_groups": 15,
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    return rated_pool(tmp_path_factory.mktemp("pool") / "pool.jsonl")


@pytest.fixture(scope="module")
def result(pool: str) -> entp_hf.Result:
    return run(pool, EntpConfig.from_dict(SETTINGS))


def test_every_row_is_accounted_for_once(result: entp_hf.Result) -> None:
    made = [row for row in result.kept if row["origin"] != "passthrough"]
    ids = result.kept["id"][:] + result.dropped["id"][:]
    assert len(ids) == len(set(ids)) == 256 + len(made)
    assert all(result.dropped["dropped_by"])
    assert not any(result.kept["dropped_by"])
    accounts = dict(result.manifest["dataset"]["accounts"])
    assert accounts.pop("pool") == sum(accounts.values()) == result.manifest["pool"]["rows"]
    assert accounts["passed"] == Counter(result.kept["origin"])["passthrough"] > 30  # in place of compositions
    assert accounts["fused"] == sum(len(row["parents"]) for row in made)


def test_the_dataset_reaches_its_target_with_rows_of_another_kind_where_one_lacks(result: entp_hf.Result) -> None:
    origins = Counter(result.kept["origin"])
    assert 10 <= origins["mosaic"] < 30 < origins["passthrough"]
    assert len(result.kept) == 60
    assert result.kept.features == result.dropped.features == FEATURES


def test_made_rows_name_parents_that_are_among_the_dropped(result: entp_hf.Result) -> None:
    dropped = {row["id"]: row for row in result.dropped}
    for row in result.kept:
        if row["origin"] == "mosaic":
            assert len(row["parents"]) >= 2
            for parent in row["parents"]:
                assert dropped[parent]["dropped_by"] == "mix:mosaic"
                assert dropped[parent]["notes"] == f"into {row['id']}"


def test_ratings_part_good_rows_from_poor_ones_and_an_unsteady_correction_leaves_them(result: entp_hf.Result) -> None:
    quality = {}
    for row in [*result.kept, *result.dropped]:
        if row["original"] and row["score"] is not None:
            quality.setdefault(json.loads(row["original"])["quality"], []).append(row["score"])
    assert np.mean(quality["good"]) > np.mean(quality["poor"]) + 2
    correction = result.manifest["correction"]
    assert correction["notes"][0].startswith("Nothing was corrected")
    assert result.manifest["ratings"]["changed"] == 0


def test_manifest_figures_add_up(result: entp_hf.Result) -> None:
    m = result.manifest
    assert m["input"]["rows"] == 256
    assert sum(m["ratings"]["corrected"]) == m["pool"]["rows"] + m["pool"]["high_quality"]
    assert m["purge"]["rows_in"] == m["pool"]["rows"]
    assert m["clusters"]["rows"] == m["purge"]["rows_out"] == sum(m["clusters"]["sizes"])
    assert m["dataset"]["rows"] == len(result.kept) == sum(m["dataset"]["by_origin"].values())
    assert sum(m["dataset"]["dropped_by"].values()) == m["dataset"]["dropped"] == len(result.dropped)
    json.dumps(m, allow_nan=False)


def test_same_input_and_seed_give_the_same_bytes(pool: str, result: entp_hf.Result, tmp_path: Path) -> None:
    again = run(pool, EntpConfig.from_dict(SETTINGS)).save(tmp_path / "again")
    first = result.save(tmp_path / "first")
    for name in ("data/train.parquet", "dropped/train.parquet", "config.yaml"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert load_dataset(str(first), split="train", cache_dir=str(tmp_path))[:] == result.kept[:]


def test_another_seed_gives_another_order(pool: str, result: entp_hf.Result) -> None:
    other = run(pool, EntpConfig.from_dict({**SETTINGS, "seed": 1}))
    assert other.kept["id"][:] != result.kept["id"][:]


def test_the_embedded_model_fuses_and_the_gate_holds(tmp_path: Path) -> None:
    settings = {**SETTINGS, "fuser": "entp", "target_size": 8, "max_groups": 2, "max_new_tokens": 48, "rounds": 1}
    config = EntpConfig.from_dict({**settings, "retries": 1, "group_neighbors": 1})
    result = run(rated_pool(tmp_path / "pool.jsonl", 60), config)
    (figures,) = result.manifest["fusion"]["rounds"]
    assert figures["groups"] == 2
    assert figures["fused"] + figures["mosaic"] + figures["passthrough"] == 2
    assert result.manifest["tokens"]["calls"] == 2 + figures["attempts"]  # a direct answer a group
    assert 2 <= figures["attempts"] <= 4
    assert result.manifest["tokens"]["completion"] > 50
    again = run(str(tmp_path / "pool.jsonl"), config)
    assert again.manifest["tokens"]["cached_calls"] == again.manifest["tokens"]["calls"]
    assert again.kept[:] == result.kept[:]


def test_several_files_of_several_forms_are_one_pool() -> None:
    result = run(pool_files(), EntpConfig(raters=[], pool="all", fuser="none", target_size=400, fusion_ratio=0.0))
    assert {f["form"] for f in result.manifest["input"]["files"]} == {"alpaca", "messages"}
    assert set(result.manifest["dataset"]["by_origin"]) == {"passthrough"}
    assert "ratings" not in result.manifest


def test_a_target_that_was_asked_for_and_not_reached_is_a_warning_the_default_a_line(capsys) -> None:
    assert accounting.size_warning(11, EntpConfig(target_size=12)) == [
        "11 rows are in the dataset, target_size is 12: there are no more rows that pass the rules and the gate. "
        "Give more input, or keep rows with high scores too (keep_good, high_quality_ratio)"
    ]
    assert accounting.size_warning(12, EntpConfig(target_size=12)) == accounting.size_warning(12, EntpConfig()) == []
    show_summary(manifest(warnings=[]))
    said = " ".join(capsys.readouterr().out.split())
    assert "4,690 rows are all that the pool gave; target_size is at its default, 10,000." in said
    show_summary(manifest(warnings=[], config=EntpConfig(target_size=4_690).to_dict()))
    assert "all that the pool gave" not in capsys.readouterr().out


def test_tool_calls_are_kept_as_they_are() -> None:
    rows = load_dataset("json", data_files=pool_files()[1], split="train")
    result = run(rows, EntpConfig(raters=[], pool="all", fuser="mosaic", target_size=30, fusion_ratio=0.3))
    tools = [
        text_of(row) for row in [*result.kept, *result.dropped] if any(m["role"] == "tool" for m in row["messages"])
    ]
    made = [row for row in result.kept if row["origin"] == "mosaic"]
    assert len(tools) == 2
    assert all('{"name":' in text for text in tools)
    assert not any(m["role"] == "tool" for row in made for m in row["messages"])


def test_pairs_for_preference_training(pool: str) -> None:
    result = run(pool, EntpConfig.from_dict({**SETTINGS, "emit_preference": True}))
    assert result.preference is None  # a mosaic is no better answer to its representative's question
    assert result.manifest["dataset"]["preference"] == 0


def test_high_quality_rows_on_request(pool: str) -> None:
    result = run(pool, EntpConfig.from_dict({**SETTINGS, "high_quality_ratio": 0.25, "fusion_ratio": 0.25}))
    high = [row for row in result.kept if row["origin"] == "high_quality"]
    assert len(high) == 15
    assert min(row["score"] for row in high) >= 4


def test_nothing_that_a_rule_calls_wrong_is_kept_as_it_is_or_quoted() -> None:
    result = run(pool_files(), EntpConfig(raters=[], pool="all", fuser="mosaic"))
    dropped = {row["id"]: row for row in result.dropped}
    shown = [row for row in result.kept if row["origin"] == "passthrough"]
    quoted = [dropped[key] for row in result.kept if row["origin"] == "mosaic" for key in row["parents"]]
    assert len(shown) > 50 and len(quoted) > 50
    assert [defects(row) for row in shown + quoted if defects(row)] == []
    unfit = [row for row in result.dropped if row["dropped_by"] == "mix:defective"]
    assert {"arithmetic", "impossible_action", "url_load"} <= set().union(*map(defects, unfit))


def test_keep_good_puts_every_good_row_beside_the_others(pool: str) -> None:
    result = run(pool, EntpConfig.from_dict({**SETTINGS, "keep_good": True}))
    origins = Counter(result.kept["origin"])
    assert origins["high_quality"] > 15
    assert origins["passthrough"] + origins["mosaic"] == 60
    assert "pool:high_quality" not in [row["dropped_by"] for row in result.dropped if not row["findings"]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fuser": "mosaik", "levels": 9}, ["fuser", "levels"]),
        ({"raters": ["column"]}, ["rating_columns"]),
        ({"endpoint": "http://127.0.0.1:1", "provider": "auto"}, ["only one"]),
    ],
)
def test_configuration_errors_come_all_at_once(values: dict, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        run(pool_files(), EntpConfig(**values))
    assert all(word in str(error.value) for word in words)


def test_models_are_looked_for_before_anything_is_read() -> None:
    with pytest.raises(ModelNotFound, match="no/such-model"):
        run("no-such-file.jsonl", EntpConfig(model="no/such-model"))
    with pytest.raises(InputError, match=r"no-such-file\.jsonl"):
        run("no-such-file.jsonl", EntpConfig(fuser="mosaic"))


def test_nothing_in_the_pool_is_an_error(pool: str) -> None:
    with pytest.raises(StageError, match="pool: no row has score <= 0"):
        rows = Dataset.from_list(
            [{"instruction": f"Q{i}?", "output": f"A{i} is long enough.", "r": 5} for i in range(30)]
        )
        run(rows, EntpConfig(raters=["column"], rating_columns=["r"], pool_max_score=0, fuser="none"))


@pytest.mark.skipif(not DATA.exists(), reason="the real data are not beside the project (../shared/data)")
def test_real_rated_rows_go_through() -> None:
    config = EntpConfig(raters=["column"], rating_columns=RATERS, fuser="mosaic", limit=600, target_size=100, seed=3)
    result = run(str(DATA / "alpaca_rated_40k.parquet"), config)
    assert result.manifest["correction"]["basis"] == "raters"
    assert result.manifest["dataset"]["by_origin"]["mosaic"] >= 30
    assert len(result.dropped) + len(result.kept) == 600 + result.manifest["dataset"]["by_origin"]["mosaic"]


@pytest.mark.skipif(not DATA.exists(), reason="the real data are not beside the project (../shared/data)")
def test_english_rules_do_not_drop_chinese() -> None:
    rows = load_dataset("parquet", data_files=str(DATA / "alpaca_zh_3k.parquet"), split="train[:600]")
    from entp_hf.io.reader import read_rows

    read, _ = read_rows(rows, EntpConfig())
    kept, dropped, _ = purge_rows(read, EntpConfig())
    assert len(kept) >= 0.98 * 600
