"""Rules that tell of a row beside all others: a limit that cut answers, percentiles, off-topic answers, IFD."""

from __future__ import annotations

import random

import numpy as np
import pytest
from datasets import concatenate_datasets
from sample_rows import answered as row

from entp_hf import EntpConfig
from entp_hf.execution.tables import as_dataset
from entp_hf.models.losses import losses
from entp_hf.pipeline.run import purge_rows
from entp_hf.purge.dataset_rules import CORPUS, length_percentile
from entp_hf.purge.retune import loosest_of_all, rethreshold
from entp_hf.rules.registry import DATASET_THRESHOLDS
from entp_hf.rules.selection import rule_problems
from entp_hf.schema import new_row

WORDS = "bread dough yeast flour water salt oven crust crumb baker mill wheat rye grain heat gas".split()


def prose(words, seed, end="."):
    return " ".join(random.Random(seed).choices(WORDS, k=words)) + end


def found(rule, rows, threshold=None, **settings):
    threshold = DATASET_THRESHOLDS[rule] if threshold is None else threshold
    return dict(CORPUS[rule](as_dataset(rows), threshold, EntpConfig(**settings)))


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
    assert found("length_percentile", rows[:199], 0.5) == {}  # a percentile of 199 rows is no row


CUT = {  # twelve answers that a limit cut
    "on a word": lambda i: prose(64, i, ""),
    "on a comma": lambda i: prose(64, i, ","),
    "on a dash": lambda i: prose(64, i, " -"),
    "on a digit": lambda i: prose(63, i, " 4"),
    "at the fewest words": lambda i: prose(30, i, ""),
    "at many words": lambda i: prose(500, i, ""),
    "in a later paragraph": lambda i: prose(40, i) + "\n\n" + prose(60, i, ""),
    "in another script": lambda i: " ".join(["хлеб", "соль", "вода"][(i + n) % 3] for n in range(70)),
    "inside a word, by characters": lambda i: (prose(50 + i, i)[:150] + "x" * 200)[:300] + " y" * 30,
    "with spaces behind": lambda i: prose(64, i, "  \n"),
}
WHOLE = {  # twelve that it did not
    "a full stop": lambda i: prose(64, i),
    "a closing quote": lambda i: '"' + prose(64, i, '"'),
    "a closing bracket": lambda i: prose(64, i, ")"),
    "a closed fence": lambda i: prose(64, i) + "\n```\nmix()\n```",
    "an exclamation": lambda i: prose(64, i, "!"),
    "a full stop in Chinese": lambda i: prose(64, i, "。"),
    "a word short of the fewest": lambda i: prose(29, i, ""),
    "lengths of their own": lambda i: prose(200 + i, i, ""),
    "an emoji": lambda i: prose(64, i, " \U0001f35e"),
}


@pytest.mark.parametrize("name", [*CUT, *WHOLE])
def test_a_pile_of_answers_is_found_where_a_limit_cut_them(name):
    answer = (CUT | WHOLE)[name]
    spread = [row(prose(150 + 2 * i, i, "")) for i in range(20)]
    hits = found("length_pileup", [row(answer(i)) for i in range(12)] + spread)
    assert set(hits) == (set(range(12)) if name in CUT else set())


def talk(*turns, given=""):
    return new_row([{"role": role, "content": text} for role, text in turns], input=given)


USUAL = "y" * 600
LONG, SHORT = "z" * 5000, "z"
EXTREME = {
    "a short answer": row(SHORT, USUAL),
    "a long answer": row(LONG, USUAL),
    "a short question": row(USUAL, SHORT),
    "a long question": row(USUAL, LONG),
    "no answer at all": talk(("user", USUAL), ("assistant", "")),
    "a long answer in the end": talk(("user", USUAL), ("assistant", "Yes."), ("user", "Go on."), ("assistant", LONG)),
    "a short answer in the end": talk(("user", USUAL), ("assistant", USUAL), ("user", "Why?"), ("assistant", SHORT)),
    "a short question with a long input": talk(("user", SHORT + "\n\n" + LONG), ("assistant", USUAL), given=LONG),
    "a short question after a system turn": talk(("system", USUAL), ("user", SHORT), ("assistant", USUAL)),
}
COMMON = {
    "the middle": row(USUAL, USUAL),
    "nearly the shortest answer": row("y" * 106, USUAL),
    "nearly the longest answer": row("y" * 1090, USUAL),
    "nearly the shortest question": row(USUAL, "y" * 106),
    "nearly the longest question": row(USUAL, "y" * 1090),
    "a long input": talk(("user", USUAL + "\n\n" + LONG), ("assistant", USUAL), given=LONG),
    "a long system turn": talk(("system", LONG), ("user", USUAL), ("assistant", USUAL)),
    "a long first answer": talk(("user", USUAL), ("assistant", LONG), ("user", "Shorter."), ("assistant", USUAL)),
    "a long second question": talk(("user", USUAL), ("assistant", SHORT), ("user", LONG), ("assistant", USUAL)),
}


@pytest.fixture(scope="module")
def lengths():
    """A thousand rows of as many lengths."""
    return as_dataset([row("y" * (100 + i), "y" * (100 + 7 * i % 1000)) for i in range(1000)])


@pytest.mark.parametrize("name", [*EXTREME, *COMMON])
def test_a_length_is_found_where_it_is_among_the_extreme(lengths, name):
    one = as_dataset([(EXTREME | COMMON)[name]])
    hits = [f for i, f in length_percentile(concatenate_datasets([lengths, one]), 0.5, EntpConfig()) if i == 1000]
    assert [f.field for f in hits] == (
        ["instruction" if "question" in name else "response"] if name in EXTREME else []
    )


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
ANSWERED = TOPICS[:8]
SWAPPED = [(ask, TOPICS[(i + 5) % 10][1]) for i, (ask, _) in enumerate(ANSWERED)]  # the answer to another question


@pytest.fixture(scope="module")
def judged():
    """What the two rules with a model find in eight answered and eight swapped rows, in this order."""
    rows = [row(answer, ask) for ask, answer in ANSWERED + SWAPPED]
    return {
        "off_topic": found("off_topic", rows, 50),
        "instruction_difficulty": found("instruction_difficulty", rows, 0),
    }


@pytest.mark.parametrize("at", range(16), ids=lambda at: f"{'swapped' if at >= 8 else 'answered'} {at % 8}")
def test_the_answer_to_another_question_is_found_by_both_models(judged, at):
    assert (at in judged["off_topic"]) == (at >= 8)
    difficulty = judged["instruction_difficulty"][at].score  # of every row, since all losses are over 0
    assert (difficulty > 0.78) == (at >= 8)


def test_one_percent_of_eighteen_rows_is_no_row():
    assert found("off_topic", [row(answer, ask) for ask, answer in ANSWERED], 1.0) == {}


def test_ifd_is_the_ratio_of_the_models_losses(judged):
    rows = [row(answer, ask) for ask, answer in ANSWERED + SWAPPED]
    table = losses(rows, EntpConfig(), 1024)
    assert [judged["instruction_difficulty"][i].score for i in range(16)] == pytest.approx(table[:, 0] / table[:, 1])
    assert "does not help" in judged["instruction_difficulty"][int(np.argmax(table[:, 0] / table[:, 1]))].detail


@pytest.mark.parametrize(
    ("rule", "loose", "strict"),
    [("length_pileup", 5, 13), ("off_topic", 60, 30), ("instruction_difficulty", 0.7, 0.9)],
)
def test_with_stored_scores_a_threshold_over_all_rows_moves_either_way(rule, loose, strict):
    answers = (
        [row(prose(64, i, ""), f"Explain {i}.") for i in range(12)]
        if rule == "length_pileup"
        else [row(answer, ask) for ask, answer in ANSWERED + SWAPPED]
    )
    rows = as_dataset([{**r, "source": f"{i:02}"} for i, r in enumerate(answers)])

    def purged(threshold):
        config = EntpConfig(purge_rules=[rule], purge_drop=[rule], purge_thresholds=[f"{rule}={threshold}"])
        kept, dropped, _ = purge_rows(rows, config)
        return concatenate_datasets([kept, dropped]).sort("source"), config

    few, config = purged(strict)
    many, _ = purged(loose)
    scores = list(loosest_of_all(few, config, [rule]))
    loosened = rethreshold(few, {rule: loose}, {rule: strict}, scores)
    assert loosened.to_list() == many.to_list() != few.to_list()
    assert rethreshold(many, {rule: strict}, {rule: loose}, scores).to_list() == few.to_list()


def test_they_are_chosen_tuned_and_made_to_drop_like_other_rules():
    rows = as_dataset([row(prose(64, i, ""), f"Explain {i}.") for i in range(12)])
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
    assert rule_problems(["default", "off_topic"], thresholds=["off_topic=2"]) == []
    assert "same_prompt" in rule_problems(thresholds=["same_prompt=2"])[0]
    assert all(found(rule, []) == {} for rule in CORPUS)
