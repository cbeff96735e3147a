from __future__ import annotations

import dataclasses
import json
import math

import pytest
from tiny import CHATS, tiny_llama

from entp_hf.errors import ConfigError, InputError, ModelNotFound
from entp_hf.evaluation import evaluate as evals
from entp_hf.evaluation import tasks
from entp_hf.evaluation.results import plain
from entp_hf.evaluation.suite import EvaluationSuite, measure
from entp_hf.models.chat_template import encode, training_template
from entp_hf.models.loading import load_causal_lm, load_tokenizer, new_causal_lm

torch = pytest.importorskip("torch", reason="evaluation needs torch")
lm_eval = pytest.importorskip("lm_eval", reason="evaluation needs lm-eval")

QUIZ = [
    {"question": "What is 1 + 1?", "choices": ["2", "three", "nought", "a dozen"], "answer": 0, "topic": "maths"},
    {"question": "Ice is ...", "choices": ["hot water", "cold", "dry", "solid water here"], "answer": 3, "topic": "x"},
    {"question": "The sky?", "choices": ["green", "it is blue", "plaid", "made of cheese"], "answer": 1, "topic": "x"},
    {"question": "A cat says", "choices": ["moo", "woof", "miaow", "quack and quack"], "answer": 2, "topic": "x"},
    {
        "question": "Paris is in",
        "choices": ["Spain", "France", "the south of Peru", "Oslo"],
        "answer": 1,
        "topic": "x",
    },
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def quiz(tmp_path):
    file = tmp_path / "quiz.jsonl"
    file.write_text("".join(json.dumps(item) + "\n" for item in QUIZ))
    return str(file)


@pytest.fixture
def adapter(tiny, tmp_path):
    """An adapter that changes the model: LoRA's second matrix is zero at first."""
    peft = pytest.importorskip("peft", reason="adapters need peft")
    torch.manual_seed(1)
    model = peft.get_peft_model(new_causal_lm(tiny, "cpu"), peft.LoraConfig(r=2, target_modules="all-linear"))
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.5)
    model.save_pretrained(tmp_path / "adapter")
    return str(tmp_path / "adapter")


def token_losses(model, ids):
    """Loss of each token but the first, one row at a time: no batch, no padding."""
    with torch.no_grad():
        scores = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].float(), -1)
    return [-float(row[token]) for row, token in zip(scores, ids[1:], strict=True)]


def test_quiz_accuracy_is_the_one_computed_by_hand(tiny, quiz):
    model, tokenizer = load_causal_lm(tiny, "cpu"), load_tokenizer(tiny)
    right, right_by_length = [], []
    for item in QUIZ:
        context = tokenizer(f"Question: {item['question']}\nAnswer:")["input_ids"]
        endings = [tokenizer(" " + choice)["input_ids"] for choice in item["choices"]]
        scores = [-sum(token_losses(model, context + ending)[-len(ending) :]) for ending in endings]
        by_length = [s / len(c.encode()) for s, c in zip(scores, item["choices"], strict=True)]
        right.append(scores.index(max(scores)) == item["answer"])
        right_by_length.append(by_length.index(max(by_length)) == item["answer"])
    found = evals.evaluate(tiny, files={"entp_quiz": quiz}, device="cpu")["entp_quiz"]
    mean = sum(right) / 5
    assert found["n"] == 5
    assert found["acc"] == mean
    assert found["acc_norm"] == sum(right_by_length) / 5
    assert found["acc_stderr"] == pytest.approx(math.sqrt(mean * (1 - mean) / 4))
    assert all(type(value) is float for value in found.values())


def test_loaded_model_adapter_and_limit(tiny, quiz, adapter):
    model, tokenizer = load_causal_lm(tiny, "cpu"), load_tokenizer(tiny)
    loaded = evals.evaluate(model, tokenizer=tokenizer, files={"entp_quiz": quiz}, limit=3)
    assert loaded == evals.evaluate(tiny, files={"entp_quiz": {"test": quiz}}, limit=3, device="cpu", batch_size=1)
    assert loaded["entp_quiz"]["n"] == 3
    evals.evaluate(tiny, adapter, files={"entp_quiz": quiz}, limit=2, device="cpu")
    with pytest.raises(ConfigError, match="needs its tokenizer"):
        evals.evaluate(model)


def test_one_item(tiny, quiz):
    found = evals.evaluate(tiny, files={"entp_quiz": quiz}, limit=1, device="cpu")["entp_quiz"]
    assert found["n"] == 1
    assert found["acc"] in (0, 1)


def test_the_quiz_that_comes_with_the_package(tiny):
    found = evals.evaluate(tiny, limit=4, device="cpu")
    assert found["entp_quiz"].keys() == {"acc", "acc_stderr", "acc_norm", "acc_norm_stderr", "n"}


def test_tasks_of_lm_eval_from_a_file(tiny, tmp_path):
    items = [{"question": f"{i} + 1 = ?", "answer": f"One more.\n#### {i + 1}"} for i in range(4)]
    (tmp_path / "gsm.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    splits = {"test": str(tmp_path / "gsm.jsonl"), "train": str(tmp_path / "gsm.jsonl")}
    found = evals.evaluate(tiny, tasks=["gsm8k"], files={"gsm8k": splits}, limit=1, device="cpu", num_fewshot=1)
    assert list(found) == ["gsm8k"]
    assert found["gsm8k"]["n"] == 1
    assert {"exact_match,strict-match", "exact_match,flexible-extract"} < found["gsm8k"].keys()


def test_a_slip_is_told_without_lm_evals_index(monkeypatch):
    monkeypatch.setattr(tasks, "_index", lambda include_path="": pytest.fail("the index was read"))
    with pytest.raises(ConfigError, match=r"no task 'heldot'; known are heldout, entp_quiz, .* near it: heldout"):
        measure("none", None, EvaluationSuite(["heldot", "entp_quiz"]))
    real = ["cmmlu", "m_mmlu", "mmmlu", "truthfulqa_gl", "truthfulqa_mc1"]  # nearly ours, and lm-eval's
    assert tasks.slips([*real, "gsm8", "nosuch"], tasks.known_tasks()) == {"gsm8": ["gsm8k"]}


def test_what_cannot_be_evaluated(tiny, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"no task 'entp_quizz'; known are entp_quiz, .* near it: entp_quiz"):
        evals.evaluate(tiny, tasks=["entp_quizz"])
    with pytest.raises(ConfigError, match="'mmlu' is not among the tasks entp_quiz"):
        evals.evaluate(tiny, files={"mmlu": "x.jsonl"})
    with pytest.raises(ConfigError, match="none given"):
        evals.evaluate(tiny, tasks=[])
    with pytest.raises(InputError, match="does not exist"):
        evals.evaluate(tiny, files={"entp_quiz": str(tmp_path / "absent.jsonl")})
    with pytest.raises(ModelNotFound, match="adapter_config"):
        evals.evaluate(tiny, str(tmp_path), device="cpu")


def test_out_of_memory_names_the_setting(tiny, quiz, monkeypatch):
    def fails(**given):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("lm_eval.simple_evaluate", fails)
    with pytest.raises(evals.EntpError, match="evaluation: out of memory .*Lower batch_size"):
        evals.evaluate(tiny, device="cpu", files={"entp_quiz": quiz})


def test_numbers_that_are_none_are_not_passed_on():
    results = {"results": {"t": {"acc,none": float("nan"), "alias": "t"}}, "n-samples": {}}
    with pytest.raises(evals.EntpError, match="acc is nan"):
        plain(results)
    results = {"results": {"t": {"acc,none": 1, "acc_stderr,none": "N/A", "sample_len": 7}}, "n-samples": {}}
    assert plain(results) == {"t": {"acc": 1.0, "n": 7.0}}


def test_heldout_loss_is_the_mean_over_answer_tokens(tiny):
    rows = [{"messages": chat} for chat in CHATS]
    model, tokenizer = load_causal_lm(tiny, "cpu"), load_tokenizer(tiny)
    counted = []
    for ids, mask in zip(*encode(tokenizer, CHATS, training_template(tokenizer)), strict=True):
        counted += [loss for loss, counts in zip(token_losses(model, ids), mask[1:], strict=True) if counts]
    mean = sum(counted) / len(counted)
    for batch_size in (1, 3):
        found = evals.heldout_loss(tiny, None, rows, batch_size, device="cpu")
        assert found["loss"] == pytest.approx(mean, abs=1e-4)
        assert found["perplexity"] == pytest.approx(math.exp(mean), rel=1e-3)
        assert (found["tokens"], found["rows"]) == (len(counted), 4)


def test_heldout_loss_of_an_adapter_and_of_cut_rows(tiny, adapter):
    tokenizer = load_tokenizer(tiny)
    rows = [{"messages": chat} for chat in CHATS]
    plain = evals.heldout_loss(tiny, None, rows, device="cpu")
    adapted = evals.heldout_loss(tiny, adapter, rows, device="cpu")
    assert adapted["tokens"] == plain["tokens"]
    assert abs(adapted["loss"] - plain["loss"]) > 0.01
    assert evals.heldout_loss(tiny, None, rows, device="cpu") == plain  # the shared model has no adapter in it
    starts = [mask.index(1) for mask in encode(tokenizer, CHATS, training_template(tokenizer))[1]]
    cut = evals.heldout_loss(tiny, None, rows, max_length=max(starts), device="cpu")
    assert 0 < cut["rows"] == sum(start < max(starts) for start in starts) < 4
    assert cut["tokens"] < plain["tokens"]
    with pytest.raises(InputError, match="none of 4 held-out rows"):
        evals.heldout_loss(tiny, None, rows, max_length=10, device="cpu")


def test_heldout_rows(tmp_path):
    ours = evals.heldout_rows()
    assert len(ours) >= 40
    assert all([m["role"] for m in row["messages"]] == ["user", "assistant"] for row in ours)
    file = tmp_path / "rows.jsonl"
    file.write_text(
        '{"instruction": "Add", "input": "1, 2", "output": "3"}\n\n{"messages": [{"role": "user", "content": "x"}]}\n'
    )
    first, second = evals.heldout_rows(str(file))
    assert first["messages"][0] == {"role": "user", "content": "Add\n\n1, 2"}
    assert second == {"messages": [{"role": "user", "content": "x"}]}
    file.write_text('{"instruction": "Add"}\n')
    with pytest.raises(InputError, match="line 1: neither"):
        evals.heldout_rows(str(file))
    file.write_text("{")
    with pytest.raises(InputError, match="line 1: is no JSON"):
        evals.heldout_rows(str(file))


def test_the_file_says_what_was_run_and_other_settings_are_not_compared(tiny, quiz, tmp_path):
    from entp_hf.evaluation.suite import differing, differing_settings, harness_results, read_measured

    suite = EvaluationSuite(["entp_quiz", "heldout"], limit=3, device="cpu", files={"entp_quiz": quiz})
    found = measure(tiny, None, suite)
    settings = found.settings
    assert (settings["model"], settings["adapter"], settings["limit"]) == (tiny, "", 3)
    assert settings["seeds"]["fewshot"] == 1234 and settings["versions"]["lm-eval"] and settings["date"]
    assert set(found.task_hashes) == {"entp_quiz", "heldout"}
    file = tmp_path / "base.json"
    file.write_text(json.dumps(dataclasses.asdict(found)))
    before = read_measured(file)
    assert before == found
    assert differing_settings(before, suite) == [] and differing(before, measure(tiny, None, suite)) == []
    other = dataclasses.replace(suite, limit=2)
    assert differing_settings(before, other) == ["limit: 3 there, 2 here"]
    items = [{**item, "question": item["question"] + "?"} for item in QUIZ]
    edited = tmp_path / "edited.jsonl"
    edited.write_text("".join(json.dumps(item) + "\n" for item in items))
    changed = measure(tiny, None, dataclasses.replace(suite, files={"entp_quiz": str(edited)}))
    assert differing(before, changed) == ["task entp_quiz: the items or prompts are not the same"]
    file.write_text(json.dumps({"metrics": found.metrics, "items": found.items}))  # of an earlier release
    assert differing_settings(read_measured(file), other) == []
    harness = json.loads(json.dumps(harness_results(found)))
    assert harness["results"]["entp_quiz"]["acc,none"] == found.metrics["entp_quiz"]["acc"]
    assert harness["config"]["model_args"] == f"pretrained={tiny}"
    assert {"configs", "versions", "n-shot", "n-samples", "task_hashes", "date"} <= harness.keys()


def test_lm_evals_function_is_put_back(tiny, quiz):
    from lm_eval import evaluator

    own = evaluator.get_git_commit_hash
    evals.evaluate(tiny, files={"entp_quiz": quiz}, limit=1, device="cpu")
    assert evaluator.get_git_commit_hash is own
    with pytest.raises(KeyError), evals.no_git_hash():
        assert evaluator.get_git_commit_hash is not own
        raise KeyError("x")
    assert evaluator.get_git_commit_hash is own
