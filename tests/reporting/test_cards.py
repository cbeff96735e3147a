"""The dataset card: the Hub's parser reads it, hostile names do not break it, absent parts leave no trace."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from datasets import Dataset, load_dataset
from entp_hf.cards import card_plots, dataset_card, model_card, space_card, write_plots
from entp_hf.cards.licences import combine
from entp_hf.cards.markdown import code, inline
from example_run import manifest, rows
from huggingface_hub import DatasetCard, ModelCard, SpaceCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from markdown_it import MarkdownIt

from entp_hf.schema import FEATURES, new_row

HOSTILE = "a: [b]\n---\n# H | `x` <img src=x onerror=1> {{ 7*7 }} \"'\u202e![i](http://e.example/p.png) - y"


def test_front_matter_is_what_the_hub_reads():
    kept, dropped = rows()
    card = DatasetCard(dataset_card(manifest(), kept, dropped, name="me/mixed"))
    data = card.data.to_dict()
    assert data["language"] == ["en"]
    assert (data["license"], data["license_name"]) == ("other", "unknown-inherits-from-the-source")
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["text-generation"]
    assert data["tags"] == ["entp", "sft", "synthetic", "instruction-tuning"]
    assert [(c["config_name"], c["data_files"][0]["path"]) for c in data["configs"]] == [
        ("default", "data/train.parquet"),
        ("dropped", "dropped/train.parquet"),
        ("preference", "preference/train.parquet"),
    ]
    assert "unknown, inherits from the source" in card.text


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", ("apache-2.0", None)),
        ("My Own Licence v1.0", ("other", "my-own-licence-v1.0")),
        ("x\n---\nlicense: mit", ("other", "x-license-mit")),
    ],
)
def test_licences(licence, expected):
    kept, dropped = rows(made=2)
    data = DatasetCard(dataset_card(manifest(), kept, dropped, licence=licence)).data.to_dict()
    assert (data["license"], data.get("license_name")) == expected


def test_hostile_texts_change_nothing():
    kept, dropped = rows(made=2)
    found = manifest(warnings=[HOSTILE])
    found["input"]["files"][0]["path"] = HOSTILE
    found["input"]["marked"] = {HOSTILE: 1}
    found["stages"][0]["name"] = HOSTILE
    found["ratings"]["names"][0] = HOSTILE
    found["correction"]["notes"] = [HOSTILE, "---", "===", "# not a heading"]
    found["purge"]["rules"][HOSTILE] = {"found": 9, "repaired": 9, "dropped": 0, "flagged": 0}
    found["purge"]["warnings"] = [HOSTILE]
    found["fusion"].update(model=HOSTILE, stopped_by=HOSTILE)
    text = dataset_card(found, kept, dropped, name=HOSTILE, licence=HOSTILE)
    card = DatasetCard(text)
    plain = DatasetCard(dataset_card(manifest(), kept, dropped, name="n"))
    assert list(card.data.to_dict()) == list(plain.data.to_dict())
    assert card.data.to_dict()["configs"] == plain.data.to_dict()["configs"]
    assert "{{ 7*7 }}" in text

    def shape(markdown):
        tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
        inner = [child.type for token in tokens for child in token.children or []]
        heads = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
        return heads[1:], {t.type for t in tokens}, inner.count("image"), inner.count("html_inline"), _cells(tokens)

    def _cells(tokens):
        sizes, row = set(), 0
        for token in tokens:
            row = 0 if token.type == "tr_open" else row + (token.type in ("td_open", "th_open"))
            if token.type == "tr_close":
                sizes.add(row)
        return sizes

    assert shape(card.text) == shape(plain.text)


def test_the_code_shown_runs(tmp_path):
    """The folder with this card as README.md loads by the very lines that the card shows."""
    kept, dropped = rows(made=4)
    for name, part in (("data", kept), ("dropped", dropped)):
        (tmp_path / name).mkdir()
        part.to_parquet(tmp_path / name / "train.parquet")
    found = manifest()
    found["dataset"]["preference"] = 0
    text = dataset_card(found, kept, dropped, name=str(tmp_path))
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.S)
    assert "preference" not in block
    names = {}
    exec(compile(block, "card", "exec"), names)
    assert names["rows"]["id"][:] == kept["id"][:]
    assert names["dropped"]["id"][:] == dropped["id"][:]
    assert names["load_dataset"] is load_dataset


PARTS = {
    "input": "## What it is made from", "stages": "## Recipe", "ratings": "| score |", "correction": "quality levels",
    "purge": "## Purge", "clusters": "representatives.", "fusion": "| round |", "pool": "Into the low-quality pool",
    "dataset": "| rows of the dataset |", "tokens": "tokens sent", "diversity": "| 900 rows of each |",
    "contamination": "Looked for were 1,319 test items.",
}  # fmt: skip


@pytest.mark.parametrize("key", PARTS)
def test_absent_part_leaves_no_trace(key):
    kept, dropped = rows(made=2)
    assert PARTS[key] in dataset_card(manifest(), kept, dropped)
    assert PARTS[key] not in dataset_card(manifest(**{key: None}), kept, dropped)


def test_bare_manifest():
    empty = Dataset.from_dict({name: [] for name in FEATURES}, features=FEATURES)
    card = DatasetCard(dataset_card({}, empty))
    assert [c["config_name"] for c in card.data.to_dict()["configs"]] == ["default"]
    assert "language" not in card.data.to_dict()
    assert "None" not in card.text


def test_figures_are_the_manifests():
    text = dataset_card(manifest(), *rows(made=2))
    assert "| purge | repairs, flags or drops rows by rules | 7,432 | 6,911 | 41.7 s |" in text
    assert "| `echo` | an answer that repeats the prompt | 120 | 0 | 88 | 32 |" in text
    assert "| 2 | 420 | 310 | 96 | 14 | 700 | 56 % | 0.857 | 0.22 |" in text
    assert "2,417 ratings were changed; the mean confidence is 0.831." in text
    assert "| fusion model | `tiny-chat` |" in text
    assert "| made rows, prompt or pattern | `fuse-3f2a` |" in text


def test_ratings_by_rank_are_called_so():
    found = manifest()
    found["ratings"] = {**found["ratings"], "names": ["a", "logits", "b"]}
    text = dataset_card(found, *rows(made=2))
    assert "| score | a (raw) | logits (ranked) | b (raw) | corrected |" in text
    assert "cut into six equal shares" in text and "equal shares" not in dataset_card(manifest(), *rows(made=2))


def test_what_no_model_did_is_not_said_of_one():
    origins = {"mosaic": 5, "passthrough": 3}
    found = manifest(
        dataset={"rows": 8, "by_origin": origins, "dropped": 0, "dropped_by": {}, "preference": 0},
        contamination=None,
        ratings=None,
    )
    text = dataset_card(found, *rows(made=2))
    assert "here without a language model" in text and "Merged rows are written" not in text
    assert "| `mosaic` | 5 | composed from its parents without a model |" in text and "`fused`" not in text
    assert "not searched for test items" in text and "not human judgements" not in text
    assert "not searched for test items" not in dataset_card(manifest(), *rows(made=2))


def test_languages_of_mixed_rows():
    english = "The bread rises slowly because the yeast makes gas in the dough."
    french = "Le pain lève lentement parce que la levure produit du gaz dans la pâte."
    made = [
        new_row([{"role": "user", "content": text}, {"role": "assistant", "content": text}])
        for text in (english, english, french)
    ]
    card = DatasetCard(dataset_card({}, Dataset.from_list(made, features=FEATURES)))
    assert card.data.to_dict()["language"] == ["en", "fr"]


def test_code_spans_hold_backticks():
    assert code("a`b``c") == "```a`b``c```"
    assert code("`a`") == "`` `a` ``"
    assert "|" not in code("a|b")


def test_inline_text_has_no_markup():
    html = MarkdownIt("commonmark", {"html": True}).renderInline(
        inline("<b>*x*</b> [l](http://e.example) `c` ![i](j)")
    )
    assert "<" not in html.replace("&lt;", "")


COMBINED = {
    ("cc-by-sa-3.0",): ("cc-by-sa-3.0", "", 1),
    ("mit", "MIT"): ("mit", "", 0),
    ("cc-by-4.0", "cc-by-sa-3.0"): ("cc-by-sa-4.0", "", 1),
    ("cc-by-4.0", "cc0-1.0"): ("cc-by-4.0", "", 0),
    ("cc-by-nc-4.0", "cc-by-4.0"): ("cc-by-nc-4.0", "", 1),
    ("cc-by-nc-4.0", "cc-by-sa-4.0"): ("other", "cc-by-nc-4.0-and-cc-by-sa-4.0", 2),
    ("apache-2.0", "cc-by-4.0"): ("other", "apache-2.0-and-cc-by-4.0", 0),
    ("cc-by-nd-4.0",): ("other", "cc-by-nd-4.0", 1),
    ("mit", ""): ("other", "mit-and-unknown", 0),
    ("cc-by-2.0", "cc-by-sa-3.0", "pddl"): ("cc-by-sa-3.0", "", 1),
    ("odbl",): ("odbl", "", 1),
    (): ("other", "unknown-inherits-from-the-source", 0),
}  # fmt: skip


@pytest.mark.parametrize("given", COMBINED)
def test_licences_combine_only_where_they_may(given):
    found = combine(given)
    assert (found.id, found.name, len(found.terms)) == COMBINED[given]
    assert combine(given[::-1]).id == found.id
    assert bool(found.reason) == (found.id == "other")


def test_what_a_licence_forbids_is_said_before_anything_else():
    found = manifest()
    found["input"]["files"][0]["license"] = "cc-by-nc-sa-4.0"
    text = DatasetCard(dataset_card(found, *rows(made=2))).text
    assert text.index("**Non-commercial") < text.index("**Share-alike") < text.index("## What it is made from")
    assert "`cc-by-nc-sa-4.0`, carried over from the source" in text


def test_the_run_s_own_word_on_licences_wins():
    found = manifest()
    found["input"]["files"][0]["license"] = "mit"
    found["config"]["source_licenses"] = ["cc-by-4.0"]
    assert DatasetCard(dataset_card(found, *rows(made=2))).data.license == "cc-by-4.0"


def test_counts_and_columns_are_as_datasets_itself_writes_them():
    kept, dropped = rows(made=2)
    pairs = Dataset.from_dict({name: ["a"] for name in ("prompt", "chosen", "rejected")})
    text = dataset_card(manifest(), kept, dropped, preference=pairs)
    infos = DatasetCard(text).data.to_dict()["dataset_info"]
    assert [(info["config_name"], info["splits"][0]["num_examples"]) for info in infos] == [
        ("default", len(kept)),
        ("dropped", len(dropped)),
        ("preference", 1),
    ]
    assert {feature["name"] for feature in infos[0]["features"]} == set(FEATURES)


def test_plots_stand_alone(tmp_path):
    names = write_plots(manifest(), tmp_path / "plots")
    correction = ["ratings.svg", "transition.svg", "levels.svg", "reliability.svg"]
    assert names == ["rows.svg", *correction, "rules.svg", "silhouette.svg"]
    for name in names:
        root = ElementTree.parse(tmp_path / "plots" / name).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and "--c0:" in root.find("{*}style").text
    text = dataset_card(manifest(), *rows(made=2), plots=names)
    assert all(f"](plots/{name})" in text for name in names)
    assert card_plots({}) == {} and "](plots/" not in dataset_card({}, *rows(made=2))


TRAINING = {"model": "org/base", "rows": 512, "steps": 128, "loss_first": 2.314, "loss_last": 1.702,
            "seconds": 881.0, "trainable_parameters": 2_440_000, "adapter": "out",
            "options": {"learning_rate": 2e-4, "lora_r": 8}}  # fmt: skip


def test_model_card():
    text = model_card(TRAINING, manifest()["eval"], "ann/tuned", "ann/mixed", ["apache-2.0", "cc-by-nc-4.0"])
    card = ModelCard(text)
    data = card.data.to_dict()
    assert (data["base_model"], data["datasets"], data["library_name"]) == ("org/base", ["ann/mixed"], "peft")
    assert (data["license"], data["license_name"]) == ("other", "apache-2.0-and-cc-by-nc-4.0")
    results = [
        (r["dataset"]["name"], m["type"], m["value"], m["config"])
        for r in data["model-index"][0]["results"]
        for m in r["metrics"]
    ]
    assert ("gsm8k", "exact_match", 0.041, "standard error 0.006") in results
    assert "| mmlu · acc | 0.251 | 0.258 | 0.011 |" in text and "Non-commercial" in text
    assert model_index_to_eval_results(data["model-index"])[0] == "ann/tuned"
    assert "fused from its parents by a language model" not in text
    told = model_card(
        TRAINING,
        {"mmlu": {"acc": 0.25, "acc_stderr": 0.04, "n": 114.0}},
        manifest=manifest(),
        manifest_link="dataset_manifest.json",
    )
    assert "- fused from its parents by a language model: " in told and "Items: mmlu 114. A difference under" in told
    assert "is in the [manifest](dataset_manifest.json)" in told and "| mmlu · acc | 0.25 | 0.04 |" in told
    chosen = model_card(TRAINING, manifest={"selection": {"method": "ds2", "n": 64}})
    assert "64 rows, selected by the method `ds2`." in chosen and "What is wrong" not in chosen
    local = model_card({**TRAINING, "model": str(Path(__file__).parent)})
    assert "base_model" not in ModelCard(local).data.to_dict() and "`reporting`, fine-tuned" in local
    bare = ModelCard(model_card({"model": "org/base"}))
    assert "model-index" not in bare.data.to_dict() and "## Evaluation" not in bare.text and "None" not in bare.text


def test_space_card_is_the_one_in_the_space_folder():
    card = SpaceCard.load(Path(__file__).parents[2] / "space" / "README.md")
    data = card.data.to_dict()
    assert (data["sdk"], data["app_file"], data["hf_oauth"]) == ("gradio", "app.py", True)
    assert str(SpaceCard(space_card(data["sdk_version"]))).strip() == str(card).strip()
