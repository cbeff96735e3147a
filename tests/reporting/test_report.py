"""The report: hostile texts stay texts, absent parts leave no trace, nothing is loaded, figures are the run's."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from datasets import Dataset
from example_run import manifest, rows

from entp_hf.errors import InputError
from entp_hf.pipeline.result import Result
from entp_hf.reporting.report import render_report, write_report
from entp_hf.reporting.sections.mix import MAP_POINTS
from entp_hf.schema import FEATURES, Finding, new_row

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}{% raw %}\u2028\"'`--><!--"
SECTIONS = {
    "ratings": "ratings", "correction": "correction", "purge": "purge", "clusters": "clusters", "fusion": "fusion",
    "dataset": "dataset", "train": "train", "eval": "evaluation", "purge_accuracy": "accuracy", "stages": "stages",
}  # fmt: skip


class Page(HTMLParser):
    """Elements with their attributes, and the text inside script, style, title and desc elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: list[tuple[str, dict[str, str], str]] = []
        self.inside: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style", "title", "desc"):
            self.inside.append((tag, dict(attrs)))
            self.raw.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1][0] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if self.inside:
            tag, attrs, text = self.raw[-1]
            self.raw[-1] = (tag, attrs, text + data)

    def ids(self) -> set[str]:
        return {attrs["id"] for _, attrs in self.elements if "id" in attrs}

    def texts(self, tag: str) -> list[str]:
        return [text for name, _, text in self.raw if name == tag]


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(manifest(), *rows())


def blob(page: str) -> dict:
    (found,) = [text for tag, attrs, text in Page(page).raw if attrs.get("id") == "rows-data"]
    return json.loads(found)


def hostile_page() -> str:
    finding = Finding("r" + HOSTILE, "response", "repair", detail=HOSTILE).as_dict()
    chat = [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE + "answer"}]
    parent = new_row(chat, findings=[finding], dropped_by=HOSTILE, source=HOSTILE, notes=HOSTILE)
    made = new_row(
        [{"role": HOSTILE, "content": HOSTILE}, *chat],
        origin="fused",
        parents=[parent["id"], HOSTILE],
        model=HOSTILE,
        gate=json.dumps({HOSTILE: HOSTILE}),
        notes=HOSTILE,
        prompt_version=HOSTILE,
    )
    found = manifest(warnings=[HOSTILE], entp_version=HOSTILE, config={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE})
    found["input"]["files"][0]["path"] = HOSTILE
    found["input"]["marked"] = {HOSTILE: 1}
    found["stages"][0]["name"] = HOSTILE
    found["ratings"]["names"][0] = HOSTILE
    found["correction"]["notes"] = [HOSTILE]
    found["pool"]["rule"] = HOSTILE
    found["purge"]["rules"][HOSTILE] = {"found": 9999, "repaired": 1, "dropped": 1, "flagged": 1, "seconds": 1.0}
    found["purge"]["examples"][HOSTILE] = [
        {"id": HOSTILE, "before": HOSTILE, "after": HOSTILE + "x", "detail": HOSTILE}
    ]
    found["clusters"]["map"][0]["text"] = HOSTILE
    found["fusion"].update(model=HOSTILE, stopped_by=HOSTILE)
    found["fusion"]["rounds"][0]["reasons"] = {HOSTILE: 900}
    found["dataset"]["dropped_by"] = {HOSTILE: 9}
    found["eval"]["before"] = {HOSTILE: {"metric": HOSTILE, "value": 0.5, "stderr": 0.1}}
    found["purge_accuracy"] = {"precision": 0.5, "rules": {HOSTILE: {HOSTILE: 1}}}
    found["train"]["model"] = HOSTILE
    return render_report(
        found, Dataset.from_list([made], features=FEATURES), Dataset.from_list([parent], features=FEATURES)
    )


def test_hostile_texts_are_inert():
    page = hostile_page()
    parsed = Page(page)
    plain = Page(render_report(manifest(), *rows()))
    assert {tag for tag, _ in parsed.elements} <= {tag for tag, _ in plain.elements}
    assert [attrs for tag, attrs in parsed.elements if tag == "script"] == [
        {"type": "application/json", "id": "rows-data"},
        {},
    ]
    assert not [name for _, attrs in parsed.elements for name in attrs if name.startswith("on")]
    assert "alert(1)" not in parsed.texts("script")[1]
    assert "{{ 7*7 }}" in page
    assert blob(page)["rows"][0]["turns"][0] == [HOSTILE, HOSTILE, len(HOSTILE)]


def test_no_script_but_ours_may_run(page: str):
    """The policy names the hashes of the page's own style and script, so that injected ones would be refused."""
    parsed = Page(page)
    (policy,) = [a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy"]
    for kind, text in (("script", parsed.texts("script")[-1]), ("style", parsed.texts("style")[0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not [attrs for _, attrs in parsed.elements if "style" in attrs]  # the policy would refuse them


def test_nothing_is_loaded(page: str):
    parsed = Page(page)
    assert not {tag for tag, _ in parsed.elements} & {
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "image",
        "use",
    }
    assert not [a for _, a in parsed.elements if {"src", "srcset", "xlink:href", "action"} & set(a)]
    outside = {a["href"] for tag, a in parsed.elements if a.get("href", "#")[0] != "#"}
    assert outside == {"https://arxiv.org/abs/2510.23160", "https://arxiv.org/abs/2410.10877"}
    for style in parsed.texts("style"):
        assert "url(" not in style and "@import" not in style
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(", parsed.texts("script")[-1])


def test_ratings_by_rank_are_called_so(page: str):
    found = manifest()
    found["ratings"] = {**found["ratings"], "names": ["a", "logits", "b"]}
    ranked = render_report(found, *rows(made=1))
    assert any("logits (ranked): 0 910" in text and "a (raw): 0 620" in text for text in Page(ranked).texts("desc"))
    assert "ranked and cut into six equal shares" in ranked and "ranked and cut" not in page


@pytest.mark.parametrize("key", SECTIONS)
def test_absent_part_leaves_no_trace(page: str, key: str):
    name = SECTIONS[key]
    assert name in Page(page).ids()
    without = render_report(manifest(**{key: None}), *rows())
    assert name not in Page(without).ids()
    assert f'href="#{name}"' not in without


def test_bare_manifest_and_no_rows():
    empty = Dataset.from_dict({name: [] for name in FEATURES}, features=FEATURES)
    page = render_report({}, empty, empty)
    assert Page(page).ids() == {"main"}
    assert "None" not in page and "Undefined" not in page


def test_every_link_has_its_section(page: str):
    parsed = Page(page)
    assert {a["href"][1:] for tag, a in parsed.elements if a.get("href", "").startswith("#")} <= parsed.ids()


def test_plots_show_the_manifests_figures(page: str):
    desc = Page(page).texts("desc")
    assert any("usable: 9,988 rows; pool: 7,432 rows; after rules: 6,911 rows" in text for text in desc)
    assert any("llama-3.1-8b (raw): 0 910, 1 1,580, 2 1,600, 3 3,860, 4 1,920, 5 90" in text for text in desc)
    assert any("corrected: 0 310, 1 1,310, 2 2,610, 3 3,202, 4 2,410, 5 146" in text for text in desc)
    assert any("score 1.2: 0.31, 0.33, 0.20, 0.10, 0.05, 0.01" in text for text in desc)
    assert any("score 3.9 (not identified): 0.00" in text for text in desc)
    assert any("clusters 24: 0.142" in text and text.endswith("Chosen: 24.") for text in desc)
    assert any("echo: repaired 0, dropped 88, flagged 32" in text for text in desc)
    assert any("coverage: 850; copy: 367; json: 190; near_duplicate: 90" in text for text in desc)
    assert any("before: mmlu 0.251, gsm8k 0.012; after: mmlu 0.258, gsm8k 0.041" in text for text in desc)
    assert any("960 rows as points, 72 of them ringed" in text for text in desc)
    for figure in ("10,000", "7,432", "7,655", "2,310", "1,753", "516", "4,690", "12.6 min", "3,896,884"):
        assert f'<span class="figure">{figure}</span>' in page


def test_every_plot_is_named(page: str):
    plotted = [attrs for tag, attrs in Page(page).elements if tag == "svg"]
    assert len(plotted) > 12
    for attrs in plotted:
        assert attrs["role"] == "img"
        title, desc = attrs["aria-labelledby"].split()
        assert {title, desc} <= Page(page).ids()


def test_page_stays_small():
    """10,000 rows of long text: rows are thinned evenly, texts cut, the page under 5 MB."""
    kept, dropped = rows(made=900, parents_each=3, words=2000)
    kept = Dataset.from_dict({name: kept[name][:] * 4 for name in FEATURES}, features=FEATURES)
    page = render_report(manifest(), kept, dropped)
    found = blob(page)
    assert len(page.encode()) < 5_000_000
    assert 50 < len(found["rows"]) <= 300 and found["total"] == 3600
    for row in [*found["rows"], *found["parents"].values()]:
        assert all(len(text) <= 4000 for _, text, _ in row["turns"])
    assert any(full > len(text) for row in found["rows"] for _, text, full in row["turns"])


def test_big_cluster_maps_are_thinned():
    found = manifest()
    found["clusters"]["map"] = [
        {"x": i, "y": -i, "cluster": i % 7, "representative": i % 100 == 0, "id": str(i), "text": "t"}
        for i in range(9000)
    ]
    desc = Page(render_report(found, *rows())).texts("desc")
    assert any(f"{MAP_POINTS} rows as points, 90 of them ringed" in text for text in desc)


def test_write_report(tmp_path):
    kept, dropped = rows(made=5)
    for name, part in (("data", kept), ("dropped", dropped)):
        (tmp_path / name).mkdir()
        part.to_parquet(tmp_path / name / "train.parquet")
    manifest().save(tmp_path / "manifest.json")
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_bytes().decode() == render_report(
        json.loads((tmp_path / "manifest.json").read_text()), kept, dropped
    )


def test_the_report_written_with_a_run_is_that_of_its_folder(tmp_path):
    Result(*rows(made=5), manifest()).write(tmp_path)
    page = (tmp_path / "report.html").read_bytes()
    assert write_report(tmp_path).read_bytes() == page


def test_write_report_names_what_is_missing(tmp_path):
    manifest().save(tmp_path / "manifest.json")
    with pytest.raises(InputError, match="train.parquet does not exist"):
        write_report(tmp_path)


def test_lone_surrogates_do_not_stop_the_report(tmp_path):
    page = render_report(manifest(warnings=["bad \ud800 half"]), *rows(made=1))
    assert "bad ? half" in page.encode().decode()


def test_figures_of_training_and_of_the_purge_as_the_run_records_them(page: str):
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "precision: 0.667; recall: 0.667" in text
    assert "echo 1 1 1 2 0 0" in text  # precision, recall, f1, tp, fp, fn
    assert "html_tags 0 0 0 0 1 1" in text
    assert "model: HuggingFaceTB/SmolLM2-135M-Instruct ; adapter: adapter ." in text
