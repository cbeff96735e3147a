"""The settings: every problem is said at once, YAML loses nothing, and what can't be read is said in words."""

from __future__ import annotations

import dataclasses
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from entp_hf.config import BOUNDS, CHOICES, SECTIONS, EntpConfig, section_of
from entp_hf.errors import ConfigError


def problems(**values) -> list[str]:
    with pytest.raises(ConfigError) as error:
        EntpConfig.from_dict(values)
    return error.value.problems


def test_the_defaults_are_right():
    assert EntpConfig().problems() == []
    assert EntpConfig().validate() == EntpConfig()


def test_every_problem_is_reported_at_once():
    found = problems(
        rounds=99,
        fuser="blend",
        temprature=0.5,
        near_duplicate=0.2,
        endpoint="http://e.example",
        provider="auto",
        raters=["llm", "lgits"],
        columns=["instruction:question"],
        fusion_ratio=0.8,
        high_quality_ratio=0.4,
        levels=1,
        purge_rules=["mojibak"],
        purge_thresholds=["echo=much"],
        cluster_counts=[8, 0],
        rating_columns=["stars"],
        target_size=0,
    )
    assert found[0] == "temprature: no such setting; did you mean temperature?"
    expected = {
        "rounds: 99 is out of range; it must be from 1 to 20",
        "fuser: 'blend' is not one of entp, cure, mosaic, rewrite, mergeit, none",
        "near_duplicate: 0.2 is out of range; it must be from 0.5 to 1",
        "target_size: 0 is out of range; it must be at least 1",
        "endpoint and provider: only one can be given",
        "raters: no rater is called 'lgits'; did you mean logits?",
        "rating_columns: given, but 'column' is not among the raters",
        "columns: 'instruction:question' is not NAME=VALUE",
        "fusion_ratio + high_quality_ratio is 1.2, over 1",
        "levels: 1 can't tell rows apart; give 0 (chosen by the data) or 2 to 6",
        "cluster_counts: 0 is no number of clusters; give 1 or more",
        "purge_rules: no rule is called 'mojibak'; did you mean mojibake?",
        "purge_thresholds: 'much' for echo is not a number; write echo=0.5",
    }
    assert expected == set(found[1:])


def test_the_message_holds_them_all():
    with pytest.raises(ConfigError, match=r"(?s)2 problems in the configuration:\n  - .*rounds.*\n  - .*retries"):
        EntpConfig(rounds=0, retries=-1).validate()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("rounds", 2.0, "rounds: 2.0 is not a whole number"),
        ("rounds", True, "rounds: True is not a whole number"),
        ("rounds", "2", "rounds: '2' is not a whole number"),
        ("context_row", 1, "context_row: 1 is not true or false"),
        ("temperature", "hot", "temperature: 'hot' is not a number"),
        ("temperature", math.nan, "temperature: nan is not a number"),
        ("price_in", math.inf, "price_in: inf is not a number"),
        ("raters", "llm", "raters: 'llm' is not a list of strings"),
        ("cluster_counts", [8, "9"], "cluster_counts: [8, '9'] is not a list of whole numbers"),
        ("seed", 2**32, "seed: 4294967296 is out of range; it must be from 0 to 4294967295"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_should_be(setting, value, said):
    assert problems(**{setting: value}) == [said]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"raters": []}, "raters: none given; name one of column, llm, logits, or set pool to all"),
        ({"raters": ["column"]}, "'column' needs rating_columns"),
        ({"gold_column": "g", "correction": "none"}, "gold_column: calibrates the correction 'posterior' alone"),
        ({"gold_column": "g", "raters": ["column"], "rating_columns": ["g"]}, "'g' is one of rating_columns"),
        ({"endpoint": "http://e.example"}, "raters: 'logits' needs a model in this process; set rater_model"),
        ({"provider": "auto"}, "raters: 'logits' needs a model in this process; set rater_model"),
        ({"raters": ["stars"]}, "raters: no rater is called 'stars'; known: column, llm, logits, package.module:attr"),
    ],
)
def test_contradictions(values, said):
    assert len(found := problems(**values)) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    "values",
    [
        {"raters": [], "pool": "all"},
        {"endpoint": "http://e.example", "raters": ["llm"]},
        {"endpoint": "http://e.example", "rater_model": "m"},
        {"raters": ["mine.module:rate"]},
        {"fusion_ratio": 0.6, "high_quality_ratio": 0.4},
        {"temperature": 1},
        {"cluster_counts": (4, 8)},
    ],
)
def test_what_is_right_passes(values):
    config = EntpConfig.from_dict(values)
    assert (
        config.to_dict() | {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()} == config.to_dict()
    )


def test_a_whole_number_for_a_fraction_is_made_one():
    assert isinstance(EntpConfig.from_dict({"temperature": 1}).temperature, float)


def test_yaml_round_trip_of_the_defaults(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(EntpConfig().to_yaml(), encoding="utf-8")
    assert EntpConfig.from_yaml(path) == EntpConfig()
    assert list(yaml.safe_load(path.read_text(encoding="utf-8"))) == [f.name for f in dataclasses.fields(EntpConfig)]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=40)


@given(TEXTS, st.lists(TEXTS, max_size=3), st.floats(0, 1e300), st.lists(st.integers(1, 10**6), max_size=4))
def test_yaml_round_trip_of_any_value(text, texts, price, counts):
    config = EntpConfig(model=text, rating_columns=texts, price_in=price, cluster_counts=counts)
    assert EntpConfig(**yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize(
    "text", ["null", "yes", "1e-4", "~", "# x", "a: b", "- a", "two\nlines\n", " ", "'", "é 你 😀"]
)
def test_texts_that_look_like_yaml_stay_texts(text):
    assert yaml.safe_load(EntpConfig(model=text).to_yaml())["model"] == text


def test_overrides_win_over_the_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("seed: 3\nrounds: 4\n", encoding="utf-8")
    config = EntpConfig.from_yaml(path, seed=7)
    assert (config.seed, config.rounds) == (7, 4)


def test_an_empty_file_is_the_defaults(tmp_path):
    (tmp_path / "c.yaml").write_text("# nothing\n", encoding="utf-8")
    assert EntpConfig.from_yaml(tmp_path / "c.yaml") == EntpConfig()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"rounds: [1", "c.yaml"),
        (b"- rounds", "holds list, not settings and values"),
        (b"rounds", "holds str, not settings and values"),
        (b"\xff\xfe\x00", "c.yaml"),
        (b"limit: 2024-13-01", "month must be in 1..12"),
        (b"1: 2", "1: no such setting"),
        (b"on: 2", "True: no such setting"),  # YAML 1.1
        (b"roundz: 2", "roundz: no such setting; did you mean rounds?"),
        (b"rounds: 99", "rounds: 99 is out of range"),
        (b"seed: null", "seed: None is not a whole number"),
    ],
)
def test_a_broken_file_is_refused_in_words(tmp_path, content, said):
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as error:
        EntpConfig.from_yaml(tmp_path / "c.yaml")
    assert said in error.value.problems[0]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"config file .*none\.yaml: .*No such file"):
        EntpConfig.from_yaml(tmp_path / "none.yaml")


def test_bounds_choices_and_sections_name_knobs_and_hold_their_defaults():
    settings = EntpConfig().to_dict()
    assert {*BOUNDS, *CHOICES, *SECTIONS} <= set(settings)
    assert all(settings[name] in choices for name, choices in CHOICES.items())
    assert section_of("seed") == "Running" and section_of("columns") == "Input"
    with pytest.raises(KeyError):
        section_of("nothing")


def test_the_cache_folder_is_the_knob_then_the_variable_then_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ENTP_CACHE", str(tmp_path / "env"))
    assert EntpConfig(cache_dir=str(tmp_path / "setting")).cache_path() == tmp_path / "setting"
    assert EntpConfig().cache_path() == tmp_path / "env"
    monkeypatch.delenv("ENTP_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EntpConfig().cache_path() == tmp_path / ".cache" / "entp"
    assert (tmp_path / ".cache" / "entp").is_dir()
