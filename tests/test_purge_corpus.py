"""Rules that tell of a row beside all others: a limit that cut answers, percentiles, off-topic answers, IFD."""

from __future__ import annotations

import random

import numpy as np
import pytest
from datasets import Dataset

from entp_hf import EntpConfig
from entp_hf.pipeline import purge_rows
from entp_hf.purge.config_rules import rule_problems
from entp_hf.purge.corpus import CORPUS, length_percentile, length_pileup, off_topic
from entp_hf.purge.registry import DATASET_THRESHOLDS
from entp_hf.schema import FEATURES, new_row

WORDS = "bread dough yeast flour water salt oven crust crumb baker mill wheat rye grain heat gas".split()


def row(answer, ask="Explain how bread rises.", **values):
    return new_row([{"role": "user", "content": ask}, {"role": "assistant", "content": answer}], **values)


def prose(words, seed, end="."):
    return " ".join(random.Random(seed).choices(WORDS, k=words)) + end


def found(rule, rows, threshold=None, **knobs):
    threshold = DATASET_THRESHOLDS[rule] if threshold is None else threshold
    return {i: finding for i, finding in CORPUS[rule](rows, threshold, EntpConfig(**knobs))}


def test_answers_cut_at_one_length_are_found_and_no_others():
    cut = [row(prose(64, i, "")) for i in range(12)]
    near = [
        *(row(prose(64, i)) for i in range(20, 32)),  # of that length, and finished
        *(row(prose(40 + i, i, "")) for i in range(20)),  # unfinished, at lengths of their own
        *(row(prose(20, i, "")) for i in range(12)),  # short: titles, names
    ]
    hits = found("length_pileup", cut + near)
    assert set(hits) == set(range(12))
    assert {h.detail for h in hits.values()} == {"12 unfinished answers have 64 words"}
    assert found("length_pileup", cut[:8] + near) == {} != found("length_pileup", cut[:8] + near, 8)


def test_answers_cut_at_a_number_of_characters_are_found():
    rows = [row(prose(90, i)[:400].rstrip(" ") + "x" * 9) for i in range(40)]
    rows = [row(r["messages"][1]["content"][:400]) for r in rows]
    assert len(found("length_pileup", rows)) == 40
    many = [row(prose(40 + i % 40, i, "")) for i in range(800)]  # as many at every length: no limit shows
    assert found("length_pileup", many) == {}


def test_the_longest_and_shortest_rows_are_found_by_percentile():
    rows = [row("x" * (100 + i), "y" * 20) for i in range(984)]
    odd = [row("x" * (5 + i), "y" * 20) for i in range(8)] + [row("x" * (5000 + i), "y" * 20) for i in range(8)]
    hits = found("length_percentile", rows + odd, 0.8)
    assert set(hits) == set(range(984, 1000)) and all(0 <= h.score < 0.9 for h in hits.values())
    assert {h.field for h in hits.values()} == {"response"}
    asked = found("length_percentile", [row("x" * 500, "y" * 20)] * 996 + [row("x" * 500, "y" * 900)] * 4, 0.5)
    assert {h.field for h in asked.values()} == {"instruction"} and len(asked) == 4
    assert list(length_percentile(rows[:199], 0.5, EntpConfig())) == []  # a percentile of 199 rows is no row


TOPICS = [
    ("How does bread rise?", "Yeast eats sugar in the dough and gives off gas, which makes bread rise."),
    ("What do bees make?", "Bees make honey from the nectar of flowers, and wax for their combs."),
    ("Why is the sea salty?", "Rivers carry salt from rocks into the sea, where it stays as water evaporates."),
    ("How do planes fly?", "The wings of a plane push air down, and this lifts the plane so that it flies."),
    ("What is a verb?", "A verb is a word of a sentence that tells of an action or a state."),
    ("How is steel made?", "Steel is made from iron by blowing oxygen through the melt to burn off carbon."),
    ("Why do leaves fall?", "Trees drop leaves in autumn to save water, since roots take up little from cold soil."),
    ("What is a loan?", "A loan is money that a bank lends, to be paid back later with interest."),
    ("How do magnets work?", "Magnets attract iron since the spins of their electrons are aligned."),
    ("What is jazz?", "Jazz is a music of African American origin with swing and improvisation."),
]


def test_answers_to_other_questions_are_the_least_alike():
    swapped = [row(TOPICS[(i + 5) % 10][1], ask) for i, (ask, _) in enumerate(TOPICS)][:8]
    rows = [row(answer, ask) for ask, answer in TOPICS] + swapped
    hits = found("off_topic", rows, 100 * 8 / 18)
    assert set(hits) == set(range(10, 18)) and all("cosine" in h.detail for h in hits.values())
    assert list(off_topic(rows, 1.0, EntpConfig())) == []  # one percent of 18 rows


def test_ifd_is_the_ratio_of_the_models_losses():
    from entp_hf.baselines.likelihood import losses

    rows = [row(answer, ask) for ask, answer in TOPICS[:4]] + [row(TOPICS[8][1], TOPICS[9][0])]
    table = losses(rows, EntpConfig(), 1024)
    ratio = table[:, 0] / table[:, 1]
    hits = found("instruction_difficulty", rows, float(np.sort(ratio)[-2]))
    assert set(hits) == {int(np.argmax(ratio))} == {4}  # the answer to another question is helped least by its own
    assert hits[4].score == pytest.approx(ratio[4])


def test_they_are_chosen_tuned_and_made_to_drop_like_other_rules():
    rows = Dataset.from_list([row(prose(64, i, ""), f"Explain {i}.") for i in range(12)], features=FEATURES)
    only = {"purge_rules": ["length_pileup"]}
    kept, _, report = purge_rows(rows, EntpConfig(**only))
    assert (
        report["rules"]["length_pileup"]["flagged"] == 12 == len(kept) and report["rules"]["length_pileup"]["seconds"]
    )
    kept, dropped, _ = purge_rows(rows, EntpConfig(**only, purge_drop=["length_pileup"]))
    assert set(dropped["dropped_by"]) == {"purge:length_pileup"} and len(kept) == 0
    strict = EntpConfig(**only, purge_thresholds=["length_pileup=20"]).validate()
    assert purge_rows(rows, strict)[2]["rules"]["length_pileup"]["found"] == 0
    assert "length_percentile" not in {
        f["rule"] for found in purge_rows(rows, EntpConfig())[0]["findings"] for f in found
    }
    assert rule_problems(EntpConfig(purge_rules=["default", "off_topic"], purge_thresholds=["off_topic=2"])) == []
    assert "same_prompt" in rule_problems(EntpConfig(purge_thresholds=["same_prompt=2"]))[0]
    assert list(length_pileup([], 10, EntpConfig())) == []
