"""Each selector against values worked out by hand, and against a version that is plain and slow."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from tiny import CHATS, tiny_llama

from entp_hf.baselines import deita as deita_module
from entp_hf.baselines.base import Pool, best_first
from entp_hf.baselines.heuristics import middle
from entp_hf.baselines.rds import turns
from entp_hf.baselines.registry import SELECTORS, select
from entp_hf.baselines.select import select_rows
from entp_hf.config import EntpConfig
from entp_hf.errors import ConfigError
from entp_hf.execution.tables import as_dataset
from entp_hf.schema import new_row, response_of


def pool(n=12, config=None, **known):
    """A pool whose costly facts are given, not computed."""
    rows = [
        new_row([{"role": "user", "content": f"Q{i}" * (i + 1)}, {"role": "assistant", "content": "a" * (n - i)}])
        for i in range(n)
    ]
    made = Pool(as_dataset(rows), config or EntpConfig())
    made.__dict__.update(known)
    return made


def test_the_thirteen_methods_have_a_paper_and_words():
    assert list(SELECTORS) == [
        "base",
        "full",
        "random",
        "length",
        "perplexity",
        "knn",
        "less",
        "alpagasus",
        "deita",
        "ds2-raw",
        "ds2",
        "ifd",
        "rds",
    ]
    assert all(m.about and (m.paper == "-" or "arXiv " + m.paper in m.pick.__doc__) for m in SELECTORS.values())


def test_base_full_random_length():
    assert list(select(pool(), "base", 5).index) == []
    assert list(select(pool(), "full", 5).index) == list(range(12))
    first, again = (select(pool(), "random", 5).index for _ in range(2))
    assert list(first) == list(again)
    assert len(set(first)) == 5
    other = select(pool(config=EntpConfig(seed=1)), "random", 5).index
    assert list(first) != list(other)
    picked = select(pool(), "length", 3)
    assert list(picked.index) == [0, 1, 2]
    assert list(picked.score) == [12, 11, 10]


def test_best_first_breaks_ties_and_leaves_out_rows_without_a_score():
    score = np.array([1.0, np.nan, 3, 3, 2])
    picked = best_first(score, 9, 0, np.array([0, 0, 0.1, 0.2, 0]))
    assert list(picked.index) == [3, 2, 4, 0]
    assert picked.notes == ["1 of 5 rows have no score and can't be chosen"]
    tied = {tuple(best_first(np.ones(6), 3, seed).index) for seed in range(8)}
    assert len(tied) > 4


def test_middle_band():
    assert list(middle(np.array([5.0, 1, 4, 2, 3]), 3, 0).index) == [4, 2, 3]  # median first, then the ranks around
    assert set(middle(np.array([9.0, np.nan, 1, 5]), 1, 0).index) == {3}


def test_knn_is_the_mean_distance_to_the_ten_nearest():
    vectors = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    distance = 1 - vectors @ vectors.T
    np.fill_diagonal(distance, np.inf)
    brute = np.sort(distance, axis=1)[:, :10].mean(axis=1)
    picked = select(pool(40, vectors=vectors), "knn", 6)
    assert list(picked.index) == list(np.argsort(-brute)[:6])
    assert picked.score == pytest.approx(np.sort(brute)[::-1][:6], abs=1e-5)
    nearest_one = select(pool(40, vectors=vectors), "knn", 1, {"k": "1"})
    assert nearest_one.score[0] == pytest.approx(distance.min(axis=1).max(), abs=1e-5)


def test_alpagasus_takes_the_highest_raw_ratings_and_counts_those_under_the_threshold():
    ratings = np.array([[5, 4], [3, np.nan], [np.nan, np.nan], [5, 5], [1, 0]], float)
    picked = select(pool(5, ratings=ratings), "alpagasus", 3)
    assert list(picked.index) == [3, 0, 1]
    assert list(picked.score) == [5, 4.5, 3]
    assert any("1 of 3 rows are rated under AlpaGasus's threshold 4.5" in note for note in picked.notes)
    assert len(select(pool(5, ratings=ratings), "alpagasus", 5).index) == 4  # the unrated row is never chosen


def test_ds2_ranks_by_score_and_then_by_long_tail():
    known = {"corrected": np.array([4.0, 5, 4, 4, 0]), "long_tail": np.array([0.1, 0.0, 0.3, 0.2, 0.9])}
    assert list(select(pool(5, **known), "ds2", 4).index) == [1, 2, 3, 0]
    ratings = {"ratings": np.array([[0.0], [1], [1], [2], [2]])}
    assert list(select(pool(5, **ratings, **known), "ds2-raw", 4).index) == [4, 3, 2, 1]


def test_ds2_corrects_the_ratings_as_the_pipeline_does():
    from entp_hf.correction.correct import correct_ratings

    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(60, 6)).astype(np.float32)
    ratings = rng.integers(0, 6, size=(60, 1)).astype(float)
    rows = [
        new_row([{"role": "user", "content": f"Q{i}"}, {"role": "assistant", "content": "A"}], ratings=[r])
        for i, (r,) in enumerate(ratings)
    ]
    config = EntpConfig(raters=["column"], rating_columns=["r"])
    made = Pool(as_dataset(rows), config)
    made.__dict__["vectors"] = vectors
    expected = correct_ratings(ratings, vectors).score
    assert list(made.corrected) == list(expected)
    assert list(made.raw_level) == list(ratings[:, 0])


def test_deita_takes_the_best_that_are_unlike_those_taken():
    vectors = np.array([[1, 0], [0.999, 0.0447], [0, 1], [0.6, 0.8]], np.float32)
    assert list(deita_module.diverse(vectors, np.array([1, 0, 3, 2]), 4, 0.9)) == [1, 3, 2]
    assert list(deita_module.diverse(vectors, np.array([1, 0, 3, 2]), 2, 0.9)) == [1, 3]
    assert list(deita_module.diverse(vectors, np.array([0, 3, 2]), 4, 0.5)) == [0, 2]


def test_deita_without_its_scorers_says_so():
    eye = np.eye(6, dtype=np.float32)
    picked = select(pool(6, ratings=np.array([[1.0], [0], [0], [0], [0], [2]]), vectors=eye), "deita", 2)
    # Instructions get longer row by row, so they are graded 1..6: scores are (rating + 1) x grade.
    assert list(picked.index) == [5, 4]
    assert list(picked.score) == [18, 5]
    assert "its scorers were not used" in picked.notes[0]


def test_deita_sums_complexity_times_quality_over_turns(monkeypatch):
    class Grader:
        def __init__(self, model, *rest):
            self.model = model

        def digit_expectations(self, prompts, prefix, digits, desc):
            assert list(digits) == [1, 2, 3, 4, 5, 6]
            asked = "##Query: " if self.model == "c" else "#Question#:\n"
            assert all(asked in prompt for prompt in prompts)
            value = (lambda p: float("Hard" in p) + 1) if self.model == "c" else (lambda p: 3.0 + ("good" in p))
            return np.array([[value(p), 1.0] for p in prompts])

    monkeypatch.setattr(deita_module, "LocalChat", Grader)
    two = [("user", "Hard"), ("assistant", "good"), ("user", "Easy"), ("assistant", "bad")]
    rows = [
        new_row([{"role": role, "content": text} for role, text in two]),
        new_row([{"role": "user", "content": "Hard one"}, {"role": "assistant", "content": "bad"}]),
    ]
    made = Pool(as_dataset(rows), EntpConfig())
    assert list(deita_module.graded(made, "c", "q")) == [2 * 4 + 1 * 3, 2 * 3]


def test_rds_targets_take_turns():
    similarity = np.array([[0.9, 0.8, 0.1, 0.2], [0.95, 0.1, 0.3, 0.2]])
    assert list(turns(similarity, 3)) == [0, 2, 1]  # the second target finds 0 taken, then the first takes 1
    assert list(turns(similarity, 9)) == [0, 2, 1, 3]


def test_what_cannot_be_selected():
    with pytest.raises(ConfigError, match="no method is called 'ds3'; did you mean rds\? Known: base, full"):
        select(pool(), "ds3", 1)
    with pytest.raises(ConfigError, match="n: 0 is out of range"):
        select(pool(), "random", 0)
    with pytest.raises(ConfigError, match="kk: no setting of knn; it has k"):
        select(pool(), "knn", 1, {"kk": 3})
    with pytest.raises(ConfigError, match="k: 'ten' is not a number"):
        select(pool(), "knn", 1, {"k": "ten"})
    with pytest.raises(ConfigError, match="target: rds chooses rows that are like a target set"):
        select(pool(), "rds", 1)
    with pytest.raises(ConfigError, match="this method needs ratings"):
        select(pool(config=EntpConfig(raters=[], pool="all")), "ds2", 1)
    assert select(pool(), "random", 20).notes == ["random gave 12 rows, 20 were asked for; the pool has 12"]


def shortest(pool, n, settings):
    return best_first(-np.array([len(response_of(row)) for row in pool.listed], float), n, 0)


def test_a_method_of_ones_own():
    assert list(select(pool(), f"{__name__}:shortest", 2).index) == [11, 10]


def test_select_rows_accounts_for_every_row(tmp_path):
    file = tmp_path / "pool.jsonl"
    rows = [{"instruction": f"Ask {i}", "output": "x" * i} for i in range(9)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept, dropped, figures = select_rows(str(file), "length", 3, EntpConfig())
    assert [len(response_of(row)) for row in kept] == [8, 7, 6]
    assert len(dropped) == 6  # the row without an answer among them, with its own reason
    assert dropped["dropped_by"].count("select:length") == 5
    assert figures["selection"]["score"] == {"lowest": 6.0, "median": 7.0, "highest": 8.0}


# Methods that run a model

torch = pytest.importorskip("torch", reason="these selectors run a model")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def real(tiny, tmp_path):
    """Eight conversations, the tiny model, a cache of their own."""
    questions = ["Name a fish.", "Add 2 and 5.", "Say goodbye.", "Where is Rome?"]
    more = [[{"role": "user", "content": q}, {"role": "assistant", "content": q[::-1]}] for q in questions]
    config = EntpConfig(model=tiny, device="cpu", cache_dir=str(tmp_path / "cache"), batch_size=3)
    return Pool(as_dataset([new_row(chat) for chat in [*CHATS, *more]]), config)


def brute_losses(tiny, messages):
    """Mean loss of the answer's tokens with and without the question, one row at a time."""
    from entp_hf.models.chat_template import encode, training_template
    from entp_hf.models.loading import load_causal_lm, load_tokenizer

    model, tokenizer = load_causal_lm(tiny, "cpu"), load_tokenizer(tiny)
    (ids,), (mask,) = encode(tokenizer, [messages], training_template(tokenizer))

    def mean(tokens, marked):
        with torch.no_grad():
            scores = torch.log_softmax(model(torch.tensor([tokens])).logits[0, :-1], -1)
        kept = [-float(scores[i, tokens[i + 1]]) for i in range(len(tokens) - 1) if marked[i + 1]]
        return sum(kept) / len(kept)

    answer = [t for t, m in zip(ids, mask, strict=True) if m]
    return mean(ids, mask), mean([tokenizer.bos_token_id, *answer], [0, *[1] * len(answer)])


def test_perplexity_and_ifd_are_those_computed_row_by_row(tiny, real):
    brute = np.array([brute_losses(tiny, row["messages"]) for row in real.listed])
    picked = select(real, "perplexity", 8, {"band": "low"})
    assert list(picked.index) == list(np.argsort(brute[:, 0]))
    assert picked.score == pytest.approx(np.exp(np.sort(brute[:, 0])), rel=1e-3)
    ratio = brute[:, 0] / brute[:, 1]
    wanted = [i for i in np.argsort(-ratio) if ratio[i] < 1]
    found = select(real, "ifd", 8)
    assert list(found.index) == wanted
    assert found.score == pytest.approx(ratio[wanted], abs=1e-4)
    assert 0 < len(wanted) < 8
    assert any("have an IFD of 1 or more" in note for note in found.notes)
    with pytest.raises(ConfigError, match="band: 'odd' is not one of"):
        select(real, "perplexity", 1, {"band": "odd"})


def test_losses_go_on_after_a_stop_and_are_not_computed_twice(real, monkeypatch):
    from entp_hf.models import losses

    plain = losses.mean_losses
    calls = []

    def stops(model, part):
        calls.append(len(part))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return plain(model, part)

    monkeypatch.setattr(losses, "CHUNK", 3)
    monkeypatch.setattr(losses, "mean_losses", stops)
    with pytest.raises(KeyboardInterrupt):
        select(real, "perplexity", 2)
    assert sum(calls[:4]) == 12  # two chunks of three rows, each row with and without its question
    calls.clear()
    calls += [0] * 9
    whole = select(real, "perplexity", 2)
    assert sum(calls) == 4  # the two rows that were left
    monkeypatch.setattr(losses, "mean_losses", None)
    assert list(select(real, "perplexity", 2).index) == list(whole.index)


def test_out_of_memory_names_the_setting(real, monkeypatch):
    from entp_hf.errors import EntpError
    from entp_hf.models import losses

    def fails(model, part):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr(losses, "mean_losses", fails)
    with pytest.raises(EntpError, match="answer losses: out of memory .* Lower batch_size or max_length"):
        select(real, "ifd", 2)


def test_deitas_grades_are_the_expected_digits_of_its_scorers_computed_one_by_one(tiny, real, monkeypatch):
    from entp_hf.models.loading import load_causal_lm, load_tokenizer

    monkeypatch.setattr("entp_hf.llm.local.LEAST_MASS", 0.0)  # a random model puts next to nothing on digits
    model, tokenizer = load_causal_lm(tiny, "cpu"), load_tokenizer(tiny)
    digits = [tokenizer(str(d), add_special_tokens=False)["input_ids"][0] for d in range(1, 7)]

    def grade(text):
        with torch.no_grad():
            chances = torch.softmax(model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1, digits], -1)
        return float((chances * torch.arange(1, 7)).sum())

    wanted = []
    for row in real.listed:
        turns = [m for m in row["messages"] if m["role"] != "system"]
        wanted.append(
            sum(
                grade(deita_module.COMPLEXITY_FORM.format(instruction=q["content"]))
                * grade(deita_module.QUALITY_FORM.format(instruction=q["content"], output=a["content"]))
                for q, a in zip(turns[::2], turns[1::2], strict=True)
            )
        )
    real.__dict__["vectors"] = np.eye(8, dtype=np.float32)
    picked = select(real, "deita", 3, {"complexity_model": tiny, "quality_model": tiny})
    assert list(picked.index) == list(np.argsort(wanted)[::-1][:3])
    assert picked.score == pytest.approx(np.sort(wanted)[::-1][:3], rel=1e-4)
    assert picked.notes == []


def test_rds_representation_is_the_position_weighted_mean(tiny, real):
    from entp_hf.baselines.rds import pooled
    from entp_hf.models.loading import load_causal_lm

    model = load_causal_lm(tiny, "cpu")
    rows = [[5, 9, 30], [7, 8, 9, 10, 11, 12]]
    for row, got in zip(rows, pooled(model, rows), strict=True):
        with torch.no_grad():
            states = model(torch.tensor([row]), output_hidden_states=True).hidden_states[-1][0].numpy()
        mean = sum((i + 1) * states[i] for i in range(len(row))) / sum(range(1, len(row) + 1))
        assert got == pytest.approx(mean / np.linalg.norm(mean), abs=1e-4)
    aimed = dataclasses.replace(real, target=[real.listed[5], real.listed[2]])
    picked = select(aimed, "rds", 2)
    assert list(picked.index) == [5, 2]  # rows that are in the target set are most like it
    assert picked.score == pytest.approx([1, 1], abs=1e-4)


# LESS


def test_adams_update_is_torchs():
    from entp_hf.baselines.less import Checkpoint, update

    rng = torch.Generator().manual_seed(0)
    grads = torch.randn(4, 6, generator=rng)
    weights = torch.nn.Parameter(torch.zeros(6))
    adam = torch.optim.Adam([weights], lr=1.0, eps=1e-8)
    first, second = torch.zeros(6), torch.zeros(6)
    for step, grad in enumerate(grads):
        before = weights.detach().clone()
        weights.grad = grad.clone()
        adam.step()
        move = update(grad, Checkpoint({}, first, second, step, 0.0))
        assert torch.allclose(before - weights.detach(), move, atol=1e-5)
        first, second = 0.9 * first + 0.1 * grad, 0.999 * second + 0.001 * grad**2


def test_influence_is_the_best_tasks_mean_cosine():
    from entp_hf.baselines.less import influence

    train = np.array([[1, 0], [0, 2], [1, 1]], np.float32)
    aim = np.array([[3, 0], [0, 1], [0, 4]], np.float32)
    found = influence(train, aim, ["a", "b", "b"])
    assert found == pytest.approx([1, 1, math.sqrt(0.5)])
    assert influence(train, aim, ["", "", ""]) == pytest.approx([1 / 3, 2 / 3, math.sqrt(0.5)])


def test_random_signs_keep_inner_products_and_do_not_depend_on_the_batch():
    from entp_hf.baselines.less import project

    rows = torch.randn(3, 5000, generator=torch.Generator().manual_seed(1))
    rows[1] = rows[0] + 0.3 * rows[1]
    small = project(rows, 4096, 0)
    assert small == pytest.approx(np.concatenate([project(row[None], 4096, 0) for row in rows]), abs=1e-3)
    true = torch.nn.functional.cosine_similarity(rows[0], rows[1:]).numpy()
    unit = small / np.linalg.norm(small, axis=1, keepdims=True)
    assert unit[1:] @ unit[0] == pytest.approx(true, abs=4 / math.sqrt(4096))
    assert not np.allclose(small, project(rows, 4096, 1))


def test_less_agrees_with_gradients_computed_apart_and_not_projected(tiny, real, monkeypatch):
    peft = pytest.importorskip("peft", reason="LESS trains a LoRA")
    from entp_hf.baselines import less as module
    from entp_hf.models.chat_template import encode, training_template
    from entp_hf.models.loading import load_tokenizer, new_causal_lm

    aimed = dataclasses.replace(real, target=[{**real.listed[1], "task": "sums"}, {**real.listed[6], "task": "bye"}])
    settings = {"rank": 4, "alpha": 8, "dimensions": 4096, "epochs": 2, "learning_rate": 1e-3, "warmup_share": 1.0}
    checkpoints = []
    plain = module.warm_up
    monkeypatch.setattr(module, "warm_up", lambda *given: checkpoints.extend(plain(*given)) or checkpoints)
    picked = select(aimed, "less", 8, settings)

    torch.manual_seed(0)
    names = ["q_proj", "k_proj", "v_proj", "o_proj"]
    model = peft.get_peft_model(new_causal_lm(tiny, "cpu"), peft.LoraConfig(r=4, lora_alpha=8, target_modules=names))
    model.eval()
    tokenizer = load_tokenizer(tiny)
    encoded = encode(tokenizer, [row["messages"] for row in real.listed], training_template(tokenizer))
    score = np.zeros(8)
    for number, (state, rate) in enumerate(zip(checkpoints, (0.75e-3, 0.25e-3), strict=True), 1):  # of a linear fall
        assert state.steps == 8 * number
        assert state.rate == pytest.approx(rate, rel=0.2)
        model.load_state_dict(state.weights, strict=False)
        raw = []
        for ids, mask in zip(*encoded, strict=True):
            scores = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1], -1)
            marked = [i for i in range(len(ids) - 1) if mask[i + 1]]
            model.zero_grad()
            (-sum(scores[i, ids[i + 1]] for i in marked) / len(marked)).backward()
            raw.append(torch.cat([w.grad.flatten() for w in model.parameters() if w.requires_grad]))
        adam = [
            (0.9 * state.first + 0.1 * g)
            / (1 - 0.9 ** (state.steps + 1))
            / (((0.999 * state.second + 0.001 * g**2) / (1 - 0.999 ** (state.steps + 1))).sqrt() + 1e-8)
            for g in raw
        ]
        like = [[float(torch.cosine_similarity(raw[t], z, 0)) for t in (1, 6)] for z in adam]
        score += state.rate * np.max(like, axis=1)
    for row, found in zip(picked.index.tolist(), picked.score.tolist(), strict=True):
        assert found == pytest.approx(score[row], abs=4 / math.sqrt(4096) * 1e-3)
    assert np.corrcoef(picked.score, score[picked.index])[0, 1] > 0.9


def test_less_goes_on_from_its_warm_up(real, monkeypatch):
    pytest.importorskip("peft", reason="LESS trains a LoRA")
    from entp_hf.baselines import less as module

    aimed = dataclasses.replace(real, target=[real.listed[1]])
    settings = {"rank": 2, "alpha": 4, "dimensions": 64, "epochs": 1, "learning_rate": 1e-3}
    first = select(aimed, "less", 3, settings)
    monkeypatch.setattr(module, "warm_up", None)
    monkeypatch.setattr(module, "gradient", None)
    assert list(select(aimed, "less", 3, settings).index) == list(first.index)
