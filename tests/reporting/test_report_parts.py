"""The report's parts: plots as long as their figures, made rows with their parents, texts cut and compared."""

from __future__ import annotations

import re

import pytest
from datasets import Dataset
from example_run import manifest, rows

from entp_hf.reporting import plots
from entp_hf.reporting import row_browser as report_rows
from entp_hf.reporting.formatting import cut, num, share, word_diff
from entp_hf.reporting.sections.ratings import correction
from entp_hf.reporting.sections.training import evaluation
from entp_hf.schema import FEATURES, new_row


def test_bars_are_as_long_as_their_figures():
    drawn = plots.bar(["a", "b"], {"rows": [200, 50]}, "t")
    first, second = (float(w) for w in re.findall(r'width="([\d.]+)"', drawn))
    assert first == pytest.approx(4 * second, rel=0.01)


def test_bars_of_zeros_and_one_point_curves_can_be_drawn():
    assert "<rect" not in plots.bar(["a"], {"rows": [0]}, "t")
    assert plots.grouped_bar(["a"], {"x": [0]}, "t").count("<rect") == 1
    assert plots.line([(4.0, 0.0)], "t", "x", "y", 4.0).count("<circle") == 1
    assert plots.funnel(["a"], [0], "t").count("<rect") == 1


def test_ticks_cover_the_range():
    for low, high in ((0, 0.142), (-0.3, 0.9), (0, 3930), (2, 6), (0, 1)):
        marks = plots.ticks(low, high)
        assert marks[0] <= low and marks[-1] >= high and 2 <= len(marks) <= 8


def test_made_rows_come_with_their_parents():
    kept, dropped = rows()
    found = report_rows.generated_rows(kept, dropped)
    assert found is not None and found["total"] == len(found["rows"]) == 45
    texts = {row["id"]: row["messages"][1]["content"] for row in dropped}
    for row in found["rows"]:
        assert len(row["parents"]) == 3
        for key in row["parents"]:
            assert found["parents"][key]["turns"][1][1] == texts[key]
    assert found["parents"][found["rows"][0]["parents"][0]]["findings"][0]["rule"] == "mojibake"


def test_thinned_rows_reach_the_datasets_end():
    kept, dropped = rows(made=700, words=5)
    found = report_rows.generated_rows(kept, dropped)
    assert found is not None and len(found["rows"]) == 300
    place = {key: i for i, key in enumerate(kept["id"])}
    assert max(place[row["id"]] for row in found["rows"]) > 690


def test_conversations_of_many_turns_are_cut():
    chat = [{"role": "user" if i % 2 == 0 else "assistant", "content": "x" * 3000} for i in range(10)]
    made = Dataset.from_list([new_row(chat, origin="fused")], features=FEATURES)
    (row,) = report_rows.generated_rows(made, made.select([]))["rows"]
    assert [len(text) for _, text, _ in row["turns"]] == [3000, 3000, 2000, 0]
    assert row["turns"][-1] == ["", "", 21_000]


def test_word_diff_escapes_and_shows_what_cannot_be_seen():
    assert word_diff("a <b> c", "a <i> c") == "a <del>&lt;b&gt;</del><ins>&lt;i&gt;</ins> c"
    assert word_diff("x\u202ey", "xy") == "<del>x[U+202E]y</del><ins>xy</ins>"


def test_cut_says_so():
    assert cut("abc", 3) == "abc"
    assert cut("abcd" * 2000, 4000).endswith("[cut: 4,000 of 8,000 characters shown]")


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345, "12,345"), (0.1234, "0.123"), (None, "–"), (0.0, "0"), (0.00004, "4.0e-05"), (True, "yes")],
)
def test_num(value: object, text: str):
    assert num(value) == text


def test_share():
    assert [share(1, 4), share(1, 400), share(0, 9), share(3, 0)] == ["25 %", "0.2 %", "0 %", "–"]


def test_evaluation_reads_both_forms_and_names_noise():
    before = {"quiz": {"acc": 0.50, "acc_stderr": 0.03, "n": 80}, "heldout": {"loss": 2.0, "tokens": 900}}
    after = {"quiz": {"acc": 0.52, "acc_stderr": 0.03, "n": 80}, "heldout": {"loss": 1.5, "tokens": 900}}
    found = evaluation({"eval": {"before": before, "after": after}})
    assert [(r["name"], r["verdict"], r["lower"]) for r in found["rows"]] == [
        ("quiz · acc", "within noise", False),
        ("heldout · loss", "", True),
    ]
    nested = evaluation(manifest())
    assert [(r["name"], round(r["change"], 3), r["verdict"]) for r in nested["rows"]] == [
        ("mmlu · acc", 0.007, "within noise"),
        ("gsm8k · exact_match", 0.029, "more than noise"),
    ]


def test_the_reliability_diagram_says_what_it_draws():
    shown = correction(manifest())
    drawn = str(shown["reliability"])
    assert drawn.count("<circle") == 2
    assert "confidence 0.55: 0.50 right of 20 rows; confidence 0.95: 0.90 right of 100 rows." in drawn
    (low, high) = ((float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn))
    assert low[0] < high[0] and low[1] > high[1]
    without = manifest()
    without["correction"]["gold"] = {"rows": 12}
    assert correction(without)["reliability"] is None
