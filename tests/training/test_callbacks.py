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
        seed=3,
        learning_rate=1e-3,
        bf16=False,
        disable_tqdm=True,
        **{"save_strategy": "no", **values},
    )
    return transformers.Trainer(
        model=model,
        args=args,
        train_dataset=data,
        eval_dataset=data[:2],
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
    rows = [row for row in watched.state.log_history if "eval_score" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]  # the last one not again at the end
    assert rows[1] == {"eval_score": 0.5, "eval_n": 2.0, "epoch": 0.5, "step": 2}
    json.dumps(watched.state.log_history)
    assert watched.processing_class.padding_side == side
    assert watched.model.config.use_cache == use_cache
    assert callback.failures == []


def test_other_callbacks_get_the_figures_while_reporters_are_open(tiny, tmp_path):
    told = []

    class Reporter(transformers.TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            told.append((state.global_step, sorted(logs)))

        def on_train_end(self, args, state, control, **kwargs):
            told.append("closed")

    run = trainer(tiny, tmp_path, Reporter(), steps=3)
    BenchmarkCallback(rude, every_steps=2).add_to(run)
    DatasetReportCallback(data_rows()).add_to(run)
    run.train()
    assert [entry for entry in told if "eval_n" in entry[1]] == [
        (step, ["epoch", "eval_n", "eval_score"]) for step in (2, 3)
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
    assert not any("eval" in key for row in run.state.log_history for key in row)


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
    (row,) = [row for row in run.state.log_history if "eval_entp_quiz_acc" in row]
    assert row["eval_entp_quiz_n"] == 3


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
    assert [row["step"] for row in watched.state.log_history if "eval_score" in row] == [2, 3]
    assert losses(watched) == losses(plain)
    assert set(losses(watched)) == {1, 2, 3}


def test_every_epoch(tiny, tmp_path):
    callback = BenchmarkCallback(rude, every_epoch=True, at_end=True)
    run = trainer(tiny, tmp_path, callback, steps=8)  # four steps an epoch
    run.train()
    rows = [row for row in run.state.log_history if "eval_score" in row]
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
    from entp_hf.trainer_callbacks import benchmark

    from entp_hf.evaluation.results import Evaluation

    (tmp_path / "mmlu" / "test").mkdir(parents=True)
    (tmp_path / "mmlu" / "dev").mkdir()
    item = "question,choice0,choice1,choice2,choice3,answer\nQ,a,b,c,d,0\n"
    for part in ("test", "dev"):
        (tmp_path / "mmlu" / part / f"anatomy_{part}.csv").write_text(item)
    (tmp_path / "gsm8k_test.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "#### 2"}) + "\n")
    found = {"mmlu_anatomy": {"acc": 0.0}, "mmlu": {"acc": 0.5}, "gsm8k_cot": {"acc": 0.25}}
    asked = {}
    monkeypatch.setattr(
        benchmark, "measure", lambda model, adapter, suite, tokenizer: asked.update(vars(suite)) or Evaluation(found)
    )
    callback = BenchmarkCallback(tasks=["mmlu", "gsm8k"], limit=2, benchmark_dir=str(tmp_path))
    run = trainer(tiny, tmp_path, callback, steps=1)
    run.train()
    (row,) = [row for row in run.state.log_history if "eval_mmlu_acc" in row]
    assert {name for name in row if name.startswith("eval")} == {"eval_mmlu_acc", "eval_gsm8k_cot_acc"}
    assert (asked["limit"], asked["benchmark_dir"], asked["tasks"]) == (
        2,
        str(tmp_path),
        ["mmlu", "gsm8k"],
    )


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


STUB = "---\nlibrary_name: transformers\ntags:\n- generated_from_trainer\n- trl\n---\n# Model Card for out\n"


def test_the_stub_that_trl_writes_at_a_checkpoint_gives_way_to_the_card_and_a_pushs_too(tiny, tmp_path):
    class Stub(transformers.TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            (tmp_path / "README.md").write_text(STUB)

    card = ModelCardCallback(lambda facts: f"# card of step {facts['steps']}\n")
    run = trainer(tiny, tmp_path, Stub(), card, steps=2, save_strategy="steps", save_steps=1)
    run.train()
    assert (tmp_path / "README.md").read_text() == "# card of step 2\n"
    assert card.written
    run.create_model_card()  # as on a push: not added by add_to, so the trainer writes its own
    assert "generated_from_trainer" in (tmp_path / "README.md").read_text()
    ModelCardCallback(card.render).add_to(run)
    run.create_model_card(model_name="x")
    assert (tmp_path / "README.md").read_text() == "# card of step 2\n"


def test_a_card_that_is_not_written_is_told(tiny, tmp_path, caplog):
    (tmp_path / "README.md").write_text("# Mine\n")
    card = ModelCardCallback(lambda facts: "# Ours\n")
    trainer(tiny, tmp_path, card, steps=1).train()
    assert (tmp_path / "README.md").read_text() == "# Mine\n"
    assert not card.written and "no model card was written" in caplog.text


def test_figures_reach_the_console_and_only_log_once(tiny, tmp_path, capsys):
    run = trainer(tiny, tmp_path, steps=2)
    BenchmarkCallback(rude, every_steps=2).add_to(run)
    run.train()
    out = capsys.readouterr().out
    assert out.count("'eval_score'") == 1


def test_a_callback_that_was_passed_in_a_list_tells_which_reporters_it_does_not_reach(tiny, tmp_path, caplog):
    callback = BenchmarkCallback(rude, every_steps=1)
    run = trainer(tiny, tmp_path, callback, steps=2)
    run.args.report_to = ["tensorboard"]
    run.train()
    assert [row["step"] for row in run.state.log_history if "eval_score" in row] == [1, 2]
    (told,) = [record.message for record in caplog.records if "do not reach" in record.message]
    assert "tensorboard: add it by callback.add_to(trainer)" in told


def test_a_callback_in_a_list_reaches_a_running_wandb_run_and_samples_are_a_table(tiny, tmp_path, monkeypatch):
    import sys
    import types

    logged = []

    class Table:
        def __init__(self, columns, data):
            self.columns, self.data = columns, data

    wandb = types.ModuleType("wandb")
    wandb.run, wandb.Table, wandb.log = object(), Table, logged.append
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    samples = SampleGenerationsCallback(["Hi"], every_steps=1, max_new_tokens=2)
    run = trainer(tiny, tmp_path, BenchmarkCallback(rude, every_steps=1), samples, steps=2)
    run.args.report_to = ["wandb"]
    run.train()
    figures = [entry for entry in logged if "eval/score" in entry]
    assert [(entry["train/global_step"], entry["eval/score"]) for entry in figures] == [(1, 0.5), (2, 0.5)]
    tables = [entry["samples"] for entry in logged if "samples" in entry]
    assert [len(table.data) for table in tables] == [1, 2]
    assert tables[-1].columns == ["step", "prompt", "text"]


def test_a_look_before_the_first_step(tiny, tmp_path):
    run = trainer(tiny, tmp_path, BenchmarkCallback(rude, at_start=True), steps=2)
    run.train()
    assert [row["step"] for row in run.state.log_history if "eval_score" in row] == [0, 2]


def test_the_best_model_by_a_benchmark_is_loaded_at_the_end(tiny, tmp_path):
    callback = BenchmarkCallback(falling([0.1, 0.9, 0.3]), every_eval=True, at_end=False)
    wanted = {"metric_for_best_model": "acc", "greater_is_better": True}
    wanted |= {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    run = trainer(tiny, tmp_path, callback, steps=3, load_best_model_at_end=True, **wanted)
    run.train()
    assert callback.failures == []
    assert run.state.best_model_checkpoint.endswith("checkpoint-2")
    assert run.state.best_metric == 0.9
    assert [row["eval_acc"] for row in run.state.log_history if "eval_acc" in row] == [0.1, 0.9, 0.3]


def test_after_a_resume_patience_counts_on_and_nothing_is_logged_twice(tiny, tmp_path):
    wanted = {"metric": "acc", "every_steps": 1, "patience": 3}
    prompts = SampleGenerationsCallback(["Hi"], every_steps=1, max_new_tokens=2)
    first = trainer(
        tiny,
        tmp_path,
        StopOnBenchmarkCallback(falling([0.5, 0.4, 0.3]), **wanted),
        DatasetReportCallback(data_rows()),
        prompts,
        steps=3,
        save_strategy="steps",
        save_steps=1,
    )
    first.train()
    stop = StopOnBenchmarkCallback(falling([0.2, 0.1, 0.05, 0.04]), **wanted)
    again = SampleGenerationsCallback(["Hi"], every_steps=1, max_new_tokens=2)
    report = DatasetReportCallback(data_rows())
    second = trainer(tiny, tmp_path, stop, report, again, steps=8, save_strategy="steps", save_steps=1)
    second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert second.state.global_step == 4  # 0.4 in the checkpoint's log, 0.2 and 0.1 after it
    assert stop.best == 0.5
    assert sum("data_rows" in row for row in second.state.log_history) == 1
    steps = [json.loads(line)["step"] for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]
    assert [sample["step"] for sample in again.samples] == [1, 2, 3, 4]


def test_wrong_tasks_and_figures_are_told_when_the_callback_is_made(tmp_path):
    pytest.importorskip("lm_eval", reason="tasks need lm-eval")
    from entp_hf.errors import EntpError

    with pytest.raises(EntpError, match="no task 'entp_quizz'.*near it: entp_quiz"):
        BenchmarkCallback(tasks=["entp_quizz"], every_steps=1000)
    with pytest.raises(EntpError, match="benchmark_dir: absent is no folder"):
        BenchmarkCallback(tasks=["mmlu"], benchmark_dir="absent")
    with pytest.raises(ValueError, match="limits_: no such option of tasks; known are limit"):
        BenchmarkCallback(tasks=["entp_quiz"], limits_=3)
    with pytest.raises(ValueError, match="give a list"):
        BenchmarkCallback(tasks="entp_quiz")
    with pytest.raises(ValueError, match=r"metric: 'entp_quiz_accnorm' .* did you mean 'entp_quiz_acc_norm'"):
        StopOnBenchmarkCallback(tasks=["entp_quiz"], metric="entp_quiz_accnorm", every_steps=1000)
    StopOnBenchmarkCallback(tasks=["entp_quiz", "heldout"], metric="eval_heldout_loss", every_steps=1000)


def test_heldout_rows_are_a_task_of_callbacks(tiny, tmp_path):
    callback = BenchmarkCallback(tasks=["heldout"], limit=3)
    run = trainer(tiny, tmp_path, callback, steps=1)
    run.train()
    assert callback.failures == []
    (row,) = [row for row in run.state.log_history if "eval_heldout_loss" in row]
    assert row["eval_heldout_n"] == 3
