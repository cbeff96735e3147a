"""Rating: the scale, replies that can't be read, rows without a rating, and raters of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from chats import Scripted, judged
from datasets import Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st
from sample_rows import rows

from entp_hf.config import EntpConfig
from entp_hf.errors import ConfigError, StageError
from entp_hf.execution.progress import Bar, listening
from entp_hf.execution.tables import as_dataset
from entp_hf.execution.usage import metered
from entp_hf.llm.protocol import ChatReply
from entp_hf.rating import stage
from entp_hf.rating.rate import Rate, compress, judge, to_levels
from entp_hf.rating.stage import OwnRater, rate_rows
from entp_hf.schema import new_row


def chat(question: str, answer: str = "An answer.") -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def asked_for(request) -> str:
    """The question that a rating request shows."""
    return request.messages[0][1].split("[user]\n")[1].split("\n")[0]


@dataclass(frozen=True)
class Digits:
    """A client with probabilities: the expected digit is the number of words of the response."""

    name: str = "digits"

    def chat(self, requests, desc=""):
        raise AssertionError("a logits rater asks no questions")

    def digit_expectations(self, prompts, prefix, digits=range(6), desc=""):
        assert all(prompt.endswith("\nScore: ") for prompt in prompts) and prefix.startswith("Rate the quality")
        sizes = [len(prompt.split("Response: ")[1].split("\nScore")[0].split()) for prompt in prompts]
        return np.array([[np.nan if size == 3 else size / 10, 0.9] for size in sizes])


# ---- the scale


@pytest.mark.parametrize(
    ("overall", "rating"), [(1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 2), (7, 3), (8, 4), (9, 5), (10, 5), (7.4, 3)]
)
def test_compress_is_ds2s_table(overall, rating):
    assert compress(overall) == rating


def test_levels_have_equal_shares():
    values = [float(v) for v in np.random.default_rng(0).permutation(60)]
    levels = to_levels(values)
    assert [levels.count(k) for k in range(6)] == [10] * 6
    assert all(level == value // 10 for level, value in zip(levels, values, strict=True))


def test_levels_of_few_rows():
    assert to_levels([0.3, 0.1, 0.2]) == [5, 1, 3]
    assert to_levels([2.2, 1.1]) == [4, 1]
    assert to_levels([0.7]) == [3]
    assert to_levels([]) == [] and to_levels([None, None]) == [None, None]


def test_ties_share_the_level_of_their_middle_and_nulls_stay():
    assert to_levels([1.0, None, 1.0, 1.0, 2.0]) == [2, None, 2, 2, 5]  # middles 3/8 and 7/8 of six levels
    assert to_levels([1.0] * 9) == [3] * 9


@given(st.lists(st.none() | st.floats(0, 5), max_size=40))
def test_levels_keep_the_order_and_the_nulls(values):
    levels = to_levels(values)
    assert [level is None for level in levels] == [value is None for value in values]
    known = sorted((v, x) for v, x in zip(values, levels, strict=True) if v is not None)
    assert [x for _, x in known] == sorted(x for _, x in known)
    assert all(x in range(6) for _, x in known)
    assert len({x for v, x in known if v == known[0][0]}) <= 1


# ---- the LLM's judgement


def test_a_judgement_is_compressed_and_sees_the_row():
    client = Scripted(lambda request: judged(9 if "cook rice" in asked_for(request) else 5))
    assert judge(rows("How do I cook rice?", "${x} {0} %s?"), client) == ([5.0, 1.0], ["", ""])
    assert [asked_for(request) for request in client.asked] == ["How do I cook rice?", "${x} {0} %s?"]
    assert all(
        r.temperature == 0 and r.prompt_version.startswith("rate@") and "overall" in r.schema for r in client.asked
    )


def test_a_reply_that_cannot_be_read_is_asked_again_once_with_what_was_wrong():
    client = Scripted(lambda r: judged(7) if r.attempt or "fine" in asked_for(r) else "I would say seven.")
    assert judge(rows("fine", "odd"), client) == ([3.0, 3.0], ["", ""])
    assert [(asked_for(r), r.attempt) for r in client.asked] == [("fine", 0), ("odd", 0), ("odd", 1)]
    again = client.asked[2].messages
    assert again[:1] == client.asked[1].messages
    assert again[1] == ("assistant", "I would say seven.")
    assert again[2] == (
        "user",
        "That could not be read (the reply holds no JSON object). Answer with the JSON object alone.",
    )


@pytest.mark.parametrize(
    ("reply", "note", "calls"),
    [
        ("Seven.", "the reply holds no JSON object", 2),
        (judged(11), "overall: Input should be less than or equal to 10", 2),
        (judged(0), "overall: Input should be greater than or equal to 1", 2),
        (judged("good"), "overall: Input should be a valid number", 2),
        (judged(8).replace('"rarity": 5, ', ""), "rarity: Field required", 2),
        (judged(8)[:-20], "truncated", 2),
        (ChatReply(judged(8), finish_reason="length"), "cut off at the token limit", 2),
        (ChatReply(finish_reason="error", error="HTTP 503"), "HTTP 503", 1),  # no use in telling the model
    ],
)
def test_a_row_that_cannot_be_rated_is_null_with_a_note_and_never_a_guess(reply, note, calls):
    client = Scripted(lambda request: reply)
    values, notes = judge(rows("q"), client)
    assert values == [None]
    assert notes[0].startswith("rating failed: ") and note in notes[0]
    assert len(client.asked) == calls


def test_tokens_of_both_attempts_are_counted():
    client = Scripted(lambda r: ChatReply("no" if not r.attempt else judged(5), prompt_tokens=10, completion_tokens=3))
    with metered() as usage:
        judge(rows("q"), client)
    assert (usage.calls, usage.prompt, usage.completion) == (2, 20, 6)


# ---- as a map transform


def test_rate_maps_over_a_plain_messages_dataset():
    client = Scripted(lambda request: judged(8))
    plain = Dataset.from_dict({"messages": [chat("a"), chat("b")]})
    rated = plain.map(Rate(client), batched=True)
    assert rated["ratings"][:] == [[4.0], [4.0]]
    assert rated["notes"][:] == ["", ""]
    assert rated["messages"][:] == plain["messages"][:]


def test_rate_maps_where_a_whole_batch_fails_given_its_features():
    client = Scripted(lambda r: judged(8) if asked_for(r) == "b" else ChatReply(finish_reason="error", error="down"))
    plain = Dataset.from_dict({"messages": [chat("a"), chat("b")]})
    rater = Rate(client)
    rated = plain.map(rater, batched=True, batch_size=1, features=rater.features(plain.features))
    assert rated["ratings"][:] == [[None], [4.0]]
    assert rated["notes"][:] == ["rating failed: down", ""]


def test_dropped_rows_are_not_asked_about_and_earlier_ratings_and_notes_stay():
    client = Scripted(lambda request: "no" if asked_for(request) == "c" else judged(6))
    pool = rows("a", "b", "c")
    for row, ratings, notes, dropped in zip(
        pool, ([1.0], [], [5.0]), ("", "n", "n"), (None, "x:y", None), strict=True
    ):
        row.update(ratings=ratings, notes=notes, dropped_by=dropped)
    batch = {name: [row[name] for row in pool] for name in pool[0]}
    out = Rate(client)(batch)
    assert out["ratings"] == [[1.0, 2.0], [None], [5.0, None]]
    assert out["notes"] == ["", "n", "n; rating failed: the reply holds no JSON object"]
    assert {asked_for(r) for r in client.asked} == {"a", "c"}
    assert batch["ratings"] == [[1.0], [], [5.0]]


def test_the_logits_rater_takes_the_expectation_and_null_where_there_is_none():
    batch = {"messages": [chat("q", "one two"), chat("q", "one two three"), chat("q", "one\n two  three four")]}
    out = Rate(Digits(), "logits")(batch)
    assert out["ratings"] == [[0.2], [None], [0.4]]
    assert out["notes"] == ["", "rating failed: no probability on any digit", ""]


def test_the_logits_rater_needs_probabilities():
    with pytest.raises(ConfigError, match="'logits' needs a model in this process; scripted gives no probabilities"):
        Rate(Scripted(lambda r: ""), "logits")({"messages": [chat("q")]})


# ---- all raters of a configuration


def test_raters_stand_side_by_side_in_order(monkeypatch):
    clients = {"llm": Scripted(lambda r: judged(9)), "logits": Digits()}
    made = []

    def make(config, model):
        made.append((config.endpoint, model))
        return clients["llm" if config.endpoint else "logits"]

    monkeypatch.setattr(stage, "make_client", make)
    pool = [new_row(chat("q", " ".join(["w"] * n)), ratings=[2.0]) for n in (1, 2, 4, 5)]
    config = EntpConfig(
        raters=["column", "llm", "logits", "plugins:by_length"],
        rating_columns=["stars"],
        endpoint="http://e.example",
        rater_model="m",
    )
    rated, names = rate_rows(as_dataset(pool), config)
    assert names == ["stars", "llm", "logits", "plugins:by_length"]
    # expectations 0.1, 0.2, 0.4, 0.5 -> middles 1/8, 3/8, 5/8, 7/8 of six levels
    assert rated["ratings"][:] == [[2, 5, 0, 1], [2, 5, 2, 2], [2, 5, 3, 4], [2, 5, 5, 5]]
    assert made == [("http://e.example", "rater"), ("", "rater")]  # a server gives no probabilities


@pytest.mark.parametrize("method", ["llm", "logits"])
def test_rows_are_rated_in_blocks_under_one_bar(monkeypatch, method):
    class Barred(Scripted):
        def chat(self, requests, desc=""):
            with Bar(len(requests), desc, "call") as bar:
                for _ in requests:
                    bar.update()
            return super().chat(requests, desc)

    client = Barred(lambda r: judged(7) if r.attempt or not asked_for(r).endswith("1") else "no")
    client = client if method == "llm" else Digits()
    monkeypatch.setattr(stage, "make_client", lambda *_: client)
    pool = as_dataset([new_row(chat(f"q{n}", "w " * (n % 7 + 1))) for n in range(25)])
    config, news = EntpConfig(raters=[method]), []
    whole, _ = rate_rows(pool, config)
    monkeypatch.setattr(stage, "RATED", 10)
    with listening(lambda progress: news.append((progress.done, progress.total))):
        assert rate_rows(pool, config)[0][:] == whole[:]
    assert whole["ratings"][0] is not None and news == sorted(news)
    assert set(news) == {(n, 25) for n in ([0, 10, 20, 25] if method == "logits" else range(26))}


def test_an_own_rater_works_on_plain_rows_too():
    assert OwnRater("plugins:by_length")({"messages": [chat("q", "a b")]})["ratings"] == [[2.0]]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "plugins:off_scale",
            r"plugins:off_scale returned 6\.0; a rating is a number from 0 to 5, or None \(1 rows",
        ),
        ("plugins:not_numbers", r"plugins:not_numbers returned '4'; .* \(3 rows"),
        ("plugins:too_few", "plugins:too_few returned 1 ratings for 3 rows"),
    ],
)
def test_an_own_rater_is_not_trusted(path, said):
    with pytest.raises(StageError, match=said):
        rate_rows(as_dataset(rows("one", "two", "three")), EntpConfig(raters=[path]))


@pytest.mark.parametrize("path", ["no.such.module:rate", "plugins:nothing", "plugins", ":x"])
def test_an_own_rater_that_is_not_there_is_found_out_before_anything_is_asked(path, monkeypatch):
    client = Scripted(lambda request: judged(5))
    monkeypatch.setattr(stage, "make_client", lambda *_: client)
    with pytest.raises(ConfigError, match="raters: '.*' is neither one of column, llm, logits nor importable"):
        rate_rows(as_dataset(rows("a")), EntpConfig(raters=["llm", path]))
    assert not client.asked


def test_no_rows_are_not_rated(monkeypatch):
    monkeypatch.setattr(stage, "make_client", lambda *_: Scripted(lambda request: judged(5)))
    rated, names = rate_rows(as_dataset([]), EntpConfig(raters=["llm"]))
    assert len(rated) == 0 and names == ["llm"]


def test_the_features_that_rate_adds():
    features = Rate(Digits()).features(Features({"x": Value("string")}))
    assert features == {"ratings": List(Value("float32")), "notes": Value("string"), "x": Value("string")}
