from __future__ import annotations

import json
import random

import numpy as np
import pytest
from tiny import tiny_llama

from entp_hf.models import load_causal_lm, load_tokenizer, new_causal_lm, new_tokenizer

torch = pytest.importorskip("torch", reason="callbacks need torch")
transformers = pytest.importorskip("transformers", reason="callbacks need transformers")
pytest.importorskip("accelerate", reason="the Trainer needs accelerate")

from entp_hf.trainer_callbacks import BenchmarkCallback, SampleGenerationsCallback  # noqa: E402
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
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=2, logging_steps=1, use_cpu=True,
        report_to="none", save_strategy="no", seed=3, learning_rate=1e-3, bf16=False, disable_tqdm=True, **values,
    )  # fmt: skip
    return transformers.Trainer(
        model=model, args=args, train_dataset=data, processing_class=tokenizer, callbacks=list(callbacks),
        data_collator=transformers.default_data_collator,
    )  # fmt: skip


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
