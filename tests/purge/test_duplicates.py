"""Duplicates against brute force, and benchmark items planted in rows."""

from __future__ import annotations

import json
import pickle
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sample_rows import dataset, row

from entp_hf.embedding.neighbors import Space, copies
from entp_hf.errors import InputError
from entp_hf.purge import Contamination, find_duplicates, mark_duplicates, same_prompts
from entp_hf.purge.duplicates.minhash import bands_for
from entp_hf.purge.duplicates.search import View, shingle_sets
from entp_hf.purge.duplicates.semantic import semantic_pairs
from entp_hf.schema import FEATURES

BENCHMARKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "benchmarks"
WORDS = [a + b for a in "ba de fi go lu mi no pe ra su ta wo".split() for b in "ck ll mp nd rt sh st".split()]


def made_up(count=150, seed=3):
    """Random texts, a third of them followed by a copy with a share of its words replaced."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        words = rng.choices(WORDS, k=60)
        rows.append(row(f"Question {number} {words[0]}", " ".join(words)))
        if number % 3 == 0:
            for place in rng.sample(range(60), rng.choice([1, 2, 4, 10])):
                words[place] = "changed"
            rows.append(row(f"Question {number} {words[0]}", " ".join(words)))
    return dataset(rows)


def test_near_duplicates_are_those_of_brute_force():
    rows = made_up()
    view = View.of(rows)
    sets = {i: set(found.tolist()) for i, found in shingle_sets(rows, view.order).items()}
    expected, kept = {}, []
    for index in view.order:
        near = [k for k in kept if len(sets[k] & sets[index]) / len(sets[k] | sets[index]) >= 0.7]
        if near:
            expected[index] = near[0]
        else:
            kept.append(index)
    found = find_duplicates(rows, None, near=0.7, semantic=1.0)
    assert len(expected) >= 15
    assert {i: hit.keeper for i, hit in found.items()} == expected
    assert {hit.rule for hit in found.values()} == {"near_duplicate"}
    assert all(
        hit.score == len(sets[i] & sets[hit.keeper]) / len(sets[i] | sets[hit.keeper]) for i, hit in found.items()
    )


@pytest.mark.parametrize("near", [0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_let_few_pairs_at_the_bound_slip(near):
    bands, width = bands_for(near)
    assert bands * width <= 128 and (1 - near**width) ** bands <= 0.002


def test_semantic_duplicates_are_those_of_brute_force(monkeypatch):
    monkeypatch.setattr("entp_hf.purge.duplicates.semantic.BLOCK", 32)
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.standard_normal((60, 16)), 3, axis=0) + rng.standard_normal((180, 16)) * 0.15
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows = dataset([row(f"Q{i} {WORDS[i % 84]}", " ".join(random.Random(i).choices(WORDS, k=30))) for i in range(180)])
    cosines, kept, gone = vectors @ vectors.T, [], set()
    for index in View.of(rows).order:
        if any(cosines[index, k] >= 0.95 for k in kept):
            gone.add(index)
        else:
            kept.append(index)
    found = find_duplicates(rows, vectors, near=1.0, semantic=0.95)
    assert len(gone) > 40 and set(found) == gone
    for i, (rule, keeper, score) in found.items():
        assert rule == "semantic_duplicate" and score >= 0.95 and score == pytest.approx(cosines[i, keeper], abs=1e-5)
    assert find_duplicates(rows, vectors, near=1.0, semantic=1.0) == {}


@pytest.mark.parametrize("k", [2, 10, 40])  # fewer neighbors than there are near rows: crowded rows are compared
def test_shared_neighbors_find_the_semantic_duplicates_of_brute_force(k):
    rng = np.random.default_rng(k)
    centres = np.repeat(rng.standard_normal((40, 16)), rng.integers(1, 9, 40), axis=0)
    vectors = centres + rng.standard_normal(centres.shape) * 0.1
    vectors[rng.integers(0, len(vectors), 20)] = vectors[:20]  # copies, which no list of neighbors names
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    some = np.sort(rng.permutation(len(vectors))[:120])
    near = Space(vectors, copies(vectors), k).among(some)
    order, mine, kept = rng.permutation(120).tolist(), vectors[some], []
    for index in order:
        if not any(mine[index] @ mine[other] >= 0.95 for other in kept):
            kept.append(index)
    found = semantic_pairs(order, mine, 0.95, near)
    assert len(found) > 20 and set(found) == set(range(120)) - set(kept)
    assert all(score == pytest.approx(mine[i] @ mine[keeper], abs=1e-5) for i, (keeper, score) in found.items())


def test_rows_that_are_all_alike_have_no_neighbors_and_one_stays():
    vectors = np.tile(np.array([[0.6, 0.8]], np.float32), (4, 1))
    near = Space(vectors, copies(vectors), 10).among(np.arange(4))
    assert near.distance.shape == (4, 0)
    assert semantic_pairs([2, 0, 1, 3], vectors, 0.97, near) == {0: (2, 1.0), 1: (2, 1.0), 3: (2, 1.0)}


def test_exact_duplicates_ignore_case_space_and_unicode_form_and_the_best_stays():
    rows = dataset(
        [
            row("Why?", "It is  the café.", expected_score=1.0),
            row("why?", "IT IS THE CAFE\u0301.", expected_score=3.0),
            row("Why?", "It is the café.", expected_score=None),
            row("Why?", "It is the café.", dropped_by="input:x"),
            row("Why?", "Because."),
        ]
    )
    assert find_duplicates(rows, None, 0.8, 1.0) == {0: ("exact_duplicate", 1, 1.0), 2: ("exact_duplicate", 1, 1.0)}


def test_of_two_unscored_near_duplicates_the_longer_stays():
    words = " ".join(WORDS[:60])
    rows = dataset([row("Why?", words), row("Why?", words + " and more")])
    assert {i: hit[:2] for i, hit in find_duplicates(rows, None, 0.8, 1.0).items()} == {0: ("near_duplicate", 1)}


def test_texts_without_spaces_are_compared_by_characters():
    text = "面团在温暖的地方会慢慢发酵膨胀起来，然后放进烤箱里烤熟就可以吃了，味道很香"
    rows = dataset([row("为什么？", text), row("为什么？", text + "。"), row("为什么？", text[::-1])])
    assert {i: hit[:2] for i, hit in find_duplicates(rows, None, 0.8, 1.0).items()} == {0: ("near_duplicate", 1)}


def test_marking_keeps_rows_names_the_survivor_and_flags_shared_prompts():
    rows = dataset([row("Why?", "So."), row("Why?", "so."), row("Why?", "Because."), row("How?", "Thus.")])
    out = mark_duplicates(rows)
    assert out["dropped_by"] == [None, "purge:exact_duplicate", None, None]
    assert out[1]["findings"][0]["detail"] == rows[0]["id"]
    stays = out[0]["findings"][0]
    assert (stays["action"], stays["detail"]) == ("keep", rows[1]["id"])
    assert [[f["rule"] for f in found] for found in out["findings"]] == [
        ["exact_duplicate", "same_prompt"],
        ["exact_duplicate"],
        ["same_prompt"],
        [],
    ]
    assert same_prompts(rows, without=[1]) == {0: (2, 2), 2: (2, 2)}
    assert mark_duplicates(out).to_list() == out.to_list()
    assert mark_duplicates(rows, off=("exact_duplicate", "near_duplicate", "same_prompt"))["dropped_by"] == [None] * 4
    kinds = mark_duplicates(rows, off=("exact_duplicate",))["dropped_by"]
    assert kinds == [None, "purge:near_duplicate", None, None]


LONG = "A farmer has seventeen sheep and all but nine of them run away over the hill so how many are left"
SHORT = "Which river flows through the city of Paris"


@pytest.fixture
def index():
    return Contamination.from_texts([("long:1", LONG), ("short:1", SHORT), ("tiny:1", "Why is grass green?")])


def test_an_item_is_found_whole_in_part_and_in_an_answer(index):
    assert len(index) == 2  # under five words nothing is indexed
    assert index.find(row(LONG.upper() + "?!", "Nine."))[0].detail == "long:1, 100% of it"
    assert index.find(row("Now: " + " ".join(LONG.split()[:17]), "Nine."))[0].score >= 0.5
    assert index.find(row("Riddle?", "Here: " + " ".join(LONG.split()[3:16])))[0].field == "response"
    assert index.find(row(SHORT + "?", "The Seine."))[0].detail == "short:1, 100% of it"
    assert index.find(LONG)[0].rule == "contamination"
    half = len(LONG.split()) // 2
    parted = row(" ".join(LONG.split()[:half]), " ".join(LONG.split()[half:]))
    assert index.find(parted)[0].turn == -1


def test_what_only_resembles_an_item_is_not_found(index):
    for ask in (
        "A farmer has sheep and nine of them run away",
        "Which river flows through Rome?",
        "Why is grass green?",
    ):
        assert index.find(row(ask, "Who knows: it depends on the farmer and his sheep.")) == []
    assert index.find(row(" ".join(LONG.split()[:13]), "x")) == []  # one of nine 13-grams, in a prompt


def test_the_index_pickles_and_marks_batches(index):
    again = pickle.loads(pickle.dumps(index))
    assert again == index and hash(again) == hash(index)
    rows = dataset([row(LONG, "Nine.", in_pool=True), row("Hi.", "Hi.", in_pool=True), row(LONG, "Nine.")])
    everywhere = rows.map(again, batched=True, batch_size=2, features=FEATURES)
    assert everywhere["dropped_by"] == ["purge:contamination", None, "purge:contamination"]
    assert again.mark(rows).to_list() == everywhere.to_list() and again.mark(rows.select([1])).num_rows == 1
    in_pool = rows.map(replace(again, only_pool=True), batched=True, batch_size=2, features=FEATURES)
    assert in_pool["dropped_by"] == ["purge:contamination", None, None]


def test_files_are_read_in_their_forms(tmp_path):
    question = "What is the name of the tall tower that stands in the old town of Pisa"
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": question + " one", "answer": "leaning"}) + "\n")
    (tmp_path / "b.json").write_text(
        json.dumps({"canary": "x", "examples": [{"input": question + " two", "target": "b"}]})
    )
    (tmp_path / "c.csv").write_text(f'Type,Question,Best Answer\nAdversarial,"{question}, three","short"\n')
    index = Contamination.from_files([tmp_path])
    assert index.items == ("a.jsonl:1", "b.json:1", "c.csv:1")
    assert index.find(row(question + " two?", "x"))[0].detail == "b.json:1, 100% of it"
    (tmp_path / "d.json").write_text("{broken")
    with pytest.raises(InputError, match="d.json"):
        Contamination.from_files([tmp_path])
    with pytest.raises(InputError, match="must be"):
        Contamination.from_files([tmp_path / "x.parquet"])


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmark files are not beside the project (../shared/data)")
def test_planted_test_items_are_found_and_plain_rows_are_not():
    index = Contamination.from_files([BENCHMARKS / "gsm8k_test.jsonl", BENCHMARKS / "truthfulqa.csv"])
    lines = (BENCHMARKS / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()[::40]
    items = [json.loads(line)["question"] for line in lines]
    assert all(index.find(row(f"Solve this. {item}", "It is 5.")) for item in items)
    assert all(index.find(row("Make up a task.", f"Sure: {item}")) for item in items)
    assert index.find(row("How do I bake bread at home without a machine?", "Mix, knead, let rise and bake it.")) == []
