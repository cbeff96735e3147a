from __future__ import annotations

import json
import random

import numpy as np
import pytest
from tiny import tiny_llama

from entp_hf.models.loading import load_causal_lm, load_tokenizer, new_causal_lm, new_tokenizer

torch = pytest.importorskip("torch", reason="callbacks need torch")
transformers = pytest.importorskip("transformers", reason="callbacks need transformers")
pytest.importorskip("accelerate", reason="the Trainer needs accelerate")

from entp_hf.trainer_callbacks import (  # noqa: E402
    BenchmarkCallback,
    DatasetReportCallback,
    ModelCardCallback,
    SampleGenerationsCallback,
    StopOnBenchmarkCallback,
)
from entp_hf.trainer_callbacks.periodic import undisturbed  # noqa: E402


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_llama(tmp_path_factory.mktemp("tiny"))


def trainer(tiny, folder, *callbacks, steps=4, **values):
    model = new_causal_lm(tiny, "cpu")
    model.config.attention_dropout = 0.3  # training draws random numbers, so a disturbed state shows in the losses
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.3
    tokenizer = new_tokenizer(tiny)
    data = [{"input_ids": [i + 5, i + 6, i + 7, i + 8], "labels": [i + 5, i + 6, i + 7, i + 8]} for i in range(8)]
    args = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=2,
        logging_steps=1,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        seed=3,
        learning_rate=1e-3,
        bf16=False,
        disable_tqdm=True,
        **values,
    )
    return transformers.Trainer(
        model=model,
        args=args,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=list(callbacks),
        data_collator=transformers.default_data_collator,
    )


def losses(run):
    return {row["step"]: row["loss"] for row in run.state.log_history if "loss" in row}


def rude(model, tokenizer):
    """A benchmark that leaves everything changed."""
    assert not model.training
    assert not torch.is_grad_enabled()
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    tokenizer.padding_side = "left"
    model.config.use_cache = not model.config.use_cache
    return {"score": np.float64(0.5), "n": 2}


def test_benchmark_rows_stand_beside_the_loss_rows_and_change_nothing(tiny, tmp_path):
    plain = trainer(tiny, tmp_path)
    plain.train()
    callback = BenchmarkCallback(rude, every_steps=1)
    watched = trainer(tiny, tmp_path, callback)
    side, use_cache = watched.processing_class.padding_side, watched.model.config.use_cache
    watched.train()
    assert set(losses(plain)) == {1, 2, 3, 4}
    assert losses(watched) == losses(plain)
    rows = [row for row in watched.state.log_history if "benchmark_score" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]  # the last one not again at the end
    assert rows[1] == {"benchmark_score": 0.5, "benchmark_n": 2.0, "epoch": 0.5, "step": 2}
    json.dumps(watched.state.log_history)
    assert watched.processing_class.padding_side == side
    assert watched.model.config.use_cache == use_cache
    assert callback.failures == []


def test_reporters_get_the_figures_while_they_are_open(tiny, tmp_path, monkeypatch):
    from transformers.integrations import integration_utils

    told = []

    class Reporter(transformers.TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            told.append((state.global_step, sorted(logs)))

        def on_train_end(self, args, state, control, **kwargs):
            told.append("closed")

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "ours", Reporter)
    benchmark, data = BenchmarkCallback(rude, every_steps=2), DatasetReportCallback(data_rows())
    run = trainer(tiny, tmp_path, Reporter(), benchmark, data, steps=3)
    run.train()
    assert [entry for entry in told if "benchmark_n" in entry[1]] == [
        (step, ["benchmark_n", "benchmark_score", "epoch"]) for step in (2, 3)
    ]
    assert told[0][0] == 0
    assert "data_rows" in told[0][1]
    assert told[-1] == "closed"
    assert set(losses(run)) == {1, 2, 3}  # no loss row is lost by it


def test_the_dropout_of_these_tests_does_draw_random_numbers(tiny, tmp_path):
    class Disturbing(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            torch.manual_seed(99)

    plain, disturbed = trainer(tiny, tmp_path), trainer(tiny, tmp_path, Disturbing())
    plain.train()
    disturbed.train()
    assert losses(plain) != losses(disturbed)


def test_train_flags_of_single_modules_come_back_even_after_an_error(tiny):
    model, tokenizer = new_causal_lm(tiny, "cpu").train(), new_tokenizer(tiny)
    model.model.layers[0].eval()
    flags = [module.training for module in model.modules()]
    with pytest.raises(KeyError), undisturbed(model, tokenizer):
        assert not any(module.training for module in model.modules())
        raise KeyError("x")
    assert [module.training for module in model.modules()] == flags
    assert len(set(flags)) == 2


def test_a_failing_benchmark_is_logged_and_training_goes_on(tiny, tmp_path, caplog):
    def failing(model, tokenizer):
        raise RuntimeError("no such data set")

    callback = BenchmarkCallback(failing, every_steps=2, at_end=False)
    run = trainer(tiny, tmp_path, callback)
    run.train()
    assert set(losses(run)) == {1, 2, 3, 4}
    assert callback.failures == [f"step {step}: RuntimeError: no such data set" for step in (2, 4)]
    assert "failed at step 2; training goes on" in caplog.text
    assert not any("benchmark" in key for row in run.state.log_history for key in row)


def test_only_the_main_process_looks(tiny, tmp_path):
    calls = []
    callback = BenchmarkCallback(lambda model, tokenizer: calls.append(1) or {})
    state = transformers.TrainerState(global_step=1, is_world_process_zero=False)
    args = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    callback.on_train_end(args, state, transformers.TrainerControl(), model=None)
    assert calls == []
    assert callback.failures == []


def test_our_quiz_as_a_benchmark(tiny, tmp_path):
    pytest.importorskip("lm_eval", reason="tasks need lm-eval")
    callback = BenchmarkCallback(tasks=["entp_quiz"], limit=3)
    run = trainer(tiny, tmp_path, callback, steps=1)
    run.train()
    assert callback.failures == []
    (row,) = [row for row in run.state.log_history if "benchmark_entp_quiz_acc" in row]
    assert row["benchmark_entp_quiz_n"] == 3


def test_samples_are_what_the_model_says_to_each_prompt_alone(tiny, tmp_path):
    prompts = ["Hi", "Tell me a rather longer story about the sea, please."]
    callback = SampleGenerationsCallback(prompts, every_steps=2, at_end=False, max_new_tokens=6)
    run = trainer(tiny, tmp_path, callback, steps=2)
    run.args.learning_rate = 0.0
    run.train()
    assert callback.failures == []
    model, tokenizer = load_causal_lm(tiny, "cpu"), load_tokenizer(tiny)
    expected = []
    for prompt in prompts:
        turns = [{"role": "user", "content": prompt}]
        inputs = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        expected.append({"step": 2, "prompt": prompt, "text": text})
    assert callback.samples == expected
    assert [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()] == expected


def test_arguments_that_make_no_sense():
    with pytest.raises(ValueError, match="every_steps is -1"):
        BenchmarkCallback(rude, every_steps=-1)
    with pytest.raises(ValueError, match="every_steps is 0"):
        BenchmarkCallback(rude, at_end=False)
    with pytest.raises(ValueError, match="either evaluate"):
        BenchmarkCallback()
    with pytest.raises(ValueError, match="limit: options of tasks"):
        BenchmarkCallback(rude, limit=3)
    with pytest.raises(ValueError, match="at least one prompt"):
        SampleGenerationsCallback("one string")


def test_steps_are_the_optimisers_under_gradient_accumulation(tiny, tmp_path):
    callback = BenchmarkCallback(rude, every_steps=2)
    watched = trainer(tiny, tmp_path, callback, steps=3, gradient_accumulation_steps=2)
    watched.train()
    plain = trainer(tiny, tmp_path, steps=3, gradient_accumulation_steps=2)  # seeds the random state when made
    plain.train()
    assert [row["step"] for row in watched.state.log_history if "benchmark_score" in row] == [2, 3]
    assert losses(watched) == losses(plain)
    assert set(losses(watched)) == {1, 2, 3}


def test_every_epoch(tiny, tmp_path):
    callback = BenchmarkCallback(rude, every_epoch=True, at_end=True)
    run = trainer(tiny, tmp_path, callback, steps=8)  # four steps an epoch
    run.train()
    rows = [row for row in run.state.log_history if "benchmark_score" in row]
    assert [(row["step"], row["epoch"]) for row in rows] == [(4, 1.0), (8, 2.0)]


def falling(values):
    """A benchmark that gives these values, one a look."""
    left = iter(values)
    return lambda model, tokenizer: {"acc": next(left)}


def test_early_stop_after_two_looks_without_a_gain(tiny, tmp_path):
    callback = StopOnBenchmarkCallback(falling([0.1, 0.3, 0.3, 0.2, 0.9]), metric="acc", every_steps=1, patience=2)
    run = trainer(tiny, tmp_path, callback, steps=8)
    run.train()
    assert run.state.global_step == 4
    assert callback.best == 0.3
    assert set(losses(run)) == {1, 2, 3, 4}


def test_early_stop_on_a_loss_that_keeps_falling_does_not_stop(tiny, tmp_path):
    wanted = {"metric": "acc", "every_steps": 1, "patience": 1, "higher_is_better": False}
    callback = StopOnBenchmarkCallback(falling([4, 3, 2, 1]), **wanted)
    run = trainer(tiny, tmp_path, callback, steps=4)
    run.train()
    assert run.state.global_step == 4
    slow = StopOnBenchmarkCallback(falling([4, 3.5, 3.4, 1]), **wanted, least=0.2)
    run = trainer(tiny, tmp_path, slow, steps=4)
    run.train()
    assert run.state.global_step == 3


def test_early_stop_counts_no_failing_look_and_names_its_figures(tiny, tmp_path):
    def failing(model, tokenizer):
        raise RuntimeError("no data")

    callback = StopOnBenchmarkCallback(failing, metric="acc", every_steps=1, patience=1)
    run = trainer(tiny, tmp_path, callback, steps=3)
    run.train()
    assert run.state.global_step == 3
    wrong = StopOnBenchmarkCallback(falling([1, 2]), metric="accuracy", every_steps=2)
    trainer(tiny, tmp_path, wrong, steps=2).train()
    assert "'accuracy' is none of the benchmark's figures: acc" in wrong.failures[0]
    with pytest.raises(ValueError, match="nothing could be stopped"):
        StopOnBenchmarkCallback(failing, metric="acc")
    with pytest.raises(ValueError, match="patience is 0"):
        StopOnBenchmarkCallback(failing, metric="acc", every_steps=1, patience=0)


def two_processes(rank, place, queue):
    torch.distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
    looks = []

    class Probe(BenchmarkCallback):
        def after(self, state, control):
            queue.put((rank, len(looks), self.agreed(rank == 0)))

    callback = Probe(lambda model, tokenizer: looks.append(rank) or {"n": 1}, every_steps=1)
    state = transformers.TrainerState(global_step=1, is_world_process_zero=rank == 0)
    args = transformers.TrainingArguments(output_dir=f"{place}-out", use_cpu=True)
    model = torch.nn.Linear(2, 2)
    model.config = type("Config", (), {"use_cache": True})()
    callback.on_step_end(args, state, transformers.TrainerControl(), model=model)
    torch.distributed.destroy_process_group()


def test_of_two_processes_the_main_one_looks_and_decides_for_both(tmp_path):
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=two_processes, args=(rank, str(tmp_path / "meet"), queue)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    told = sorted(queue.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
    assert told == [(0, 1, True), (1, 0, True)]


def test_the_benchmarks_mean_is_logged_and_its_parts_are_not(tiny, tmp_path, monkeypatch):
    from entp_hf.evaluation import evaluate as evals

    found = {"mmlu_anatomy": {"acc": 0.0}, "mmlu": {"acc": 0.5}, "gsm8k_cot": {"acc": 0.25}}
    asked = {}
    monkeypatch.setattr(evals, "evaluate", lambda model, **options: asked.update(options) or found)
    callback = BenchmarkCallback(tasks=["mmlu", "gsm8k"], limit=2, benchmark_dir="here")
    run = trainer(tiny, tmp_path, callback, steps=1)
    run.train()
    (row,) = [row for row in run.state.log_history if "benchmark_mmlu_acc" in row]
    assert {name for name in row if name.startswith("benchmark")} == {"benchmark_mmlu_acc", "benchmark_gsm8k_cot_acc"}
    assert (asked["limit"], asked["benchmark_dir"], asked["tasks"]) == (2, "here", ["mmlu", "gsm8k"])


def data_rows():
    def row(answer, origin, parents):
        turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": answer}]
        return {"messages": turns, "origin": origin, "parents": parents}

    return [row("abcd", "mosaic", ["x", "y"]), row("ab", "passthrough", [])]


def test_the_report_on_the_data_is_logged_at_the_start(tiny, tmp_path):
    callback = DatasetReportCallback(data_rows())
    run = trainer(tiny, tmp_path, callback, steps=1)
    run.train()
    assert run.state.log_history[0] == {
        "data_rows": 2.0,
        "data_turns": 2.0,
        "data_answer_characters": 3.0,
        "data_origin_mosaic": 0.5,
        "data_origin_passthrough": 0.5,
        "data_parents": 1.0,
        "epoch": 0,
        "step": 0,
    }
    assert set(losses(run)) == {1}
    broken = DatasetReportCallback([{"text": "no messages"}])
    trainer(tiny, tmp_path, broken, steps=1).train()
    assert broken.failures == ["KeyError: 'messages'"]


def test_the_reports_diversity_is_that_of_the_embeddings(monkeypatch):
    from entp_hf.embedding import embed
    from entp_hf.embedding.diversity import novelsum, vendi_score

    vectors = np.eye(2, dtype=np.float32)
    monkeypatch.setattr(embed.Embed, "encode", lambda self, texts, desc="": vectors)
    figures = DatasetReportCallback(data_rows(), embedder="any").figures()
    assert figures["data_vendi"] == vendi_score(vectors) == pytest.approx(2, abs=1e-4)
    assert figures["data_novelsum"] == novelsum(vectors)


def test_the_card_is_filled_from_what_happened(tiny, tmp_path):
    seen = {}

    def render(facts):
        seen.update(facts)
        return f"# {facts['model']}\n"

    benchmark = BenchmarkCallback(falling([0.25]), at_end=True)
    card = ModelCardCallback(render, {"model": "tiny", "dataset": "ours"})
    run = trainer(tiny, tmp_path / "a", benchmark, card, steps=2)
    run.train()
    assert (tmp_path / "a" / "README.md").read_text() == "# tiny\n"
    assert (seen["steps"], seen["epochs"], seen["dataset"]) == (2, 0.5, "ours")
    assert seen["benchmarks"] == {"acc": 0.25}
    assert dict(seen["losses"]) == losses(run)
    from entp_hf.cards import model_card

    text = model_card(seen, seen["benchmarks"])
    assert f"| last loss | {seen['loss_last']:.3g}" in text and "| acc | 0.25 |" in text
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "README.md").write_text("mine")
    trainer(tiny, tmp_path / "b", ModelCardCallback(render), steps=1).train()
    assert (tmp_path / "b" / "README.md").read_text() == "mine"
    failing = ModelCardCallback(lambda facts: facts["absent"])
    trainer(tiny, tmp_path / "c", failing, steps=1).train()
    assert failing.failures == ["KeyError: 'absent'"]
