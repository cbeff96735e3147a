from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from datasets import Dataset
from entp_hf.cards.replaceable import is_ours
from example_run import manifest
from example_run import rows as example_rows
from local_hub import LocalHub
from tiny import CACHE, CHATS, smollm2, tiny_llama

from entp_hf.config import SMOLLM2
from entp_hf.errors import ConfigError, EntpError, InputError, MissingExtra, OutputError
from entp_hf.evaluation.evaluate import heldout_loss
from entp_hf.models.chat_template import encode, training_template
from entp_hf.models.loading import load_causal_lm, load_tokenizer, new_causal_lm, new_tokenizer
from entp_hf.pipeline.result import Result
from entp_hf.reporting.formatting import num
from entp_hf.training.arguments import read_arguments
from entp_hf.training.data import load_rows
from entp_hf.training.options import SFTOptions
from entp_hf.training.sft import last_checkpoint, train

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("trl", reason="training needs trl")
pytest.importorskip("peft", reason="training needs peft")
transformers = pytest.importorskip("transformers", reason="training needs transformers")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def rows():
    # `tools` is not what TRL's column of that name holds; it must not get there.
    return Dataset.from_dict({"messages": CHATS, "tools": ["not JSON"] * 4, "id": list("abcd")})


def options(tiny, folder, **values):
    defaults = {"max_steps": 3, "batch_size": 2, "learning_rate": 1e-2, "device": "cpu", "cache_dir": CACHE}
    return SFTOptions(**{"model": tiny, "output_dir": str(folder), **defaults, **values})


class Spy(transformers.TrainerCallback):
    """Sees the batches before the training and the model's logits after it."""

    def __init__(self, inputs=None):
        self.inputs, self.batches, self.logits = inputs, [], None

    def on_train_begin(self, args, state, control, train_dataloader=None, **kwargs):
        random_state = torch.get_rng_state()
        self.batches = [{k: b[k].tolist() for k in ("input_ids", "labels")} for b in train_dataloader]
        torch.set_rng_state(random_state)

        self.first = next(iter(train_dataloader))

    def on_train_end(self, args, state, control, model=None, **kwargs):
        if self.inputs is not None:
            self.logits = logits(model, self.inputs)


def logits(model, inputs):
    with torch.no_grad():
        return model.eval()(input_ids=inputs).logits


def test_training_template_renders_the_same_text_and_marks_answer_and_stop_token():
    tokenizer = load_tokenizer(smollm2())
    template = training_template(tokenizer)
    assert "{%- generation" in template
    assert "generation -%}" not in tokenizer.chat_template
    for chat in CHATS:
        plain = tokenizer.apply_chat_template(chat, tokenize=False)
        assert tokenizer.apply_chat_template(chat, tokenize=False, chat_template=template) == plain
    ids, masks = encode(tokenizer, CHATS, template)
    plain_ids = tokenizer.apply_chat_template(CHATS[1], return_dict=False)
    assert ids[1] == plain_ids
    kept = [token for token, counts in zip(ids[1], masks[1], strict=True) if counts]
    assert tokenizer.decode(kept) == "4<|im_end|>It is 6.<|im_end|>"


def test_templates_that_cannot_be_trained_with():
    tokenizer = new_tokenizer(smollm2())
    own = tokenizer.chat_template
    tokenizer.chat_template = own.replace("helpful", "tireless")
    with pytest.raises(InputError, match="renders the same text"):
        training_template(tokenizer)
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="has no chat template"):
        training_template(tokenizer)
    marked = own.replace("message['content']", "'' }}{% generation %}{{ message['content'] }}{% endgeneration %}{{ ''")
    tokenizer.chat_template = marked
    assert training_template(tokenizer) == marked


def test_options_report_every_problem():
    bad = SFTOptions(batch_size=0, learning_rate=float("nan"), full=True, merge=True)
    assert [p.partition(":")[0] for p in bad.problems()] == ["batch_size", "learning_rate", "merge"]
    with pytest.raises(ConfigError, match="3 problems"):
        train(bad)
    assert SFTOptions().problems() == []
    assert all(field.metadata["help"] for field in dataclasses.fields(SFTOptions))


def test_load_rows(tmp_path, rows):
    (tmp_path / "built" / "data").mkdir(parents=True)
    rows.to_parquet(tmp_path / "built" / "data" / "train.parquet")
    rows.to_json(tmp_path / "rows.jsonl")
    assert load_rows(str(tmp_path / "built"))["messages"] == CHATS
    assert load_rows(str(tmp_path / "rows.jsonl"))["messages"] == CHATS
    with pytest.raises(InputError, match=r"holds no data/train.parquet"):
        load_rows(str(tmp_path))
    (tmp_path / "rows.txt").write_text("x")
    with pytest.raises(InputError, match=r"is no .parquet"):
        load_rows(str(tmp_path / "rows.txt"))
    (tmp_path / "broken.jsonl").write_text("{{{")
    with pytest.raises(InputError, match="can't be read"):
        load_rows(str(tmp_path / "broken.jsonl"))
    with pytest.raises(InputError, match="no dataset of the Hub"):
        load_rows(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"]}, "no column 'messages', only text"),
        ({"messages": []}, "no rows"),
        ({"messages": [CHATS[0], CHATS[0][:1]]}, "1 of 2 rows have no assistant turn to train on; first: row 1"),
    ],
)
def test_rows_that_cannot_be_trained_on(tiny, tmp_path, columns, message):
    with pytest.raises(InputError, match=message):
        train(options(tiny, tmp_path / "out"), Dataset.from_dict(columns))
    assert not (tmp_path / "out").exists()


def test_no_room_for_any_answer(tiny, tmp_path, rows):
    with pytest.raises(InputError, match="within max_length 10"):
        train(options(tiny, tmp_path / "out", max_length=10), rows)


def test_output_folder_is_not_overwritten_unless_asked(tiny, tmp_path, rows):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "model.safetensors").write_text("from an earlier run with full")
    with pytest.raises(OutputError, match="not empty"):
        train(options(tiny, out), rows)
    with pytest.raises(OutputError, match="no checkpoint"):
        train(options(tiny, out, resume=True), rows)
    with pytest.raises(OutputError, match="is a file"):
        train(options(tiny, out / "notes.txt"), rows)
    train(options(tiny, out, overwrite=True, max_steps=1), rows)
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "model.safetensors").exists()
    assert (out / "adapter_model.safetensors").exists()


def test_a_loss_that_is_no_number_is_an_error(tiny, tmp_path, rows):
    class Break(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            for weights in model.parameters():
                weights.data.fill_(float("nan"))

    with pytest.raises(EntpError, match="the loss is nan at step 2"):
        train(options(tiny, tmp_path / "out"), rows, callbacks=[Break()])
    assert not (tmp_path / "out" / "adapter_model.safetensors").exists()


def test_missing_extra_names_the_pip_line(tiny, tmp_path, rows, monkeypatch):
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *r: None if name == "trl" else find_spec(name, *r))
    with pytest.raises(MissingExtra, match=r"pip install 'entp-hf\[train\]'"):
        train(options(tiny, tmp_path / "out"), rows)


def test_lora_trains_answers_only_and_the_saved_adapter_gives_the_same_logits(tiny, tmp_path, rows):
    from peft import PeftModel

    inputs = torch.arange(100, 140).reshape(1, -1)
    spy = Spy(inputs)
    figures = train(options(tiny, tmp_path / "out", max_steps=6, merge=True), rows, callbacks=[spy])
    tokenizer = load_tokenizer(tiny)
    labels = [row for batch in spy.batches for row in batch["labels"]]
    answers = sorted(tokenizer.decode([token for token in row if token != -100]) for row in labels)
    assert answers == sorted(
        "".join(m["content"] + "<|im_end|>" for m in c if m["role"] == "assistant") for c in CHATS
    )

    assert figures["rows"] == 4
    assert figures["steps"] == 6
    assert figures["rows_too_long"] == figures["rows_unusable"] == 0
    assert figures["loss_last"] < figures["loss_first"]
    # r * (in + out) for q, k, v, o (32 x 32) and gate, up, down (32 x 64) of 2 layers
    assert figures["trainable_parameters"] == 2 * 8 * (4 * (32 + 32) + 3 * (32 + 64))
    adapted = PeftModel.from_pretrained(new_causal_lm(tiny, "cpu"), figures["adapter"])
    assert torch.equal(logits(adapted, inputs), spy.logits)
    assert not torch.allclose(logits(load_causal_lm(tiny, "cpu"), inputs), spy.logits, atol=1e-3)
    merged = new_causal_lm(str(tmp_path / "out" / "merged"), "cpu")
    assert torch.allclose(logits(merged, inputs), spy.logits, atol=1e-3)

    saved = new_tokenizer(figures["adapter"])
    assert saved.chat_template == tokenizer.chat_template  # the model's own, not the one with marks
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert [step for step, _ in record["losses"]] == [1, 2, 3, 4, 5, 6]
    assert record["options"]["lora_r"] == 8
    assert is_ours(tmp_path / "out" / "README.md")


def test_same_seed_same_losses_other_seed_others(tiny, tmp_path, rows):
    def losses(name, seed):
        train(options(tiny, tmp_path / name, seed=seed, max_steps=2), rows)
        return json.loads((tmp_path / name / "training.json").read_text())["losses"]

    assert losses("a", 1) == losses("b", 1)
    assert losses("a2", 1) != losses("c", 2)


def test_long_rows_are_cut_counted_and_reported(tiny, tmp_path, rows, caplog):
    lengths = [len(ids) for ids in encode(load_tokenizer(tiny), CHATS, training_template(load_tokenizer(tiny)))[0]]
    longest = sorted(lengths)[-2]
    spy = Spy()
    figures = train(options(tiny, tmp_path / "out", max_steps=1, max_length=longest), rows, callbacks=[spy])
    assert figures["rows_too_long"] == sum(length > longest for length in lengths) == 1
    assert f"1 of 4 rows are longer than max_length {longest}" in caplog.text
    assert max(len(row) for batch in spy.batches for row in batch["input_ids"]) == longest


def test_full_training_saves_a_model(tiny, tmp_path, rows):
    spy = Spy(torch.arange(100, 120).reshape(1, -1))
    figures = train(options(tiny, tmp_path / "out", full=True, learning_rate=1e-3), rows, callbacks=[spy])
    assert figures["adapter"] == ""
    assert figures["trainable_parameters"] == sum(p.numel() for p in new_causal_lm(tiny, "cpu").parameters())
    assert torch.equal(logits(new_causal_lm(str(tmp_path / "out"), "cpu"), spy.inputs), spy.logits)


def test_packing_trains_the_same_answers_in_fewer_rows(tiny, tmp_path, rows):
    spy = Spy()
    figures = train(options(tiny, tmp_path / "out", packing=True, max_steps=1, batch_size=1), rows, callbacks=[spy])
    assert figures["rows"] == 4
    assert len(spy.batches) == 1
    counted = [t for batch in spy.batches for row in batch["labels"] for t in row if t != -100]
    _, masks = encode(load_tokenizer(tiny), CHATS, training_template(load_tokenizer(tiny)))
    assert len(counted) == sum(map(sum, masks))
    # Rows in one sequence don't see each other: the logits are those of each row alone.
    model, starts = load_causal_lm(tiny, "cpu"), (spy.first["position_ids"][0] == 0).nonzero().flatten().tolist()
    with torch.no_grad():
        batch = {name: value for name, value in spy.first.items() if name != "labels"}
        packed = model(**batch, use_cache=False).logits[0]  # as in training; with a cache, rows would see each other
    alone = [logits(model, part[None])[0] for part in spy.first["input_ids"][0].tensor_split(starts[1:])]
    assert len(alone) == 4
    assert torch.allclose(packed, torch.cat(alone), atol=1e-4)


def test_resume_ends_where_the_unbroken_run_ends(tiny, tmp_path, rows):
    from safetensors.torch import load_file

    out = tmp_path / "out"
    train(options(tiny, out, max_steps=4, save_steps=2), rows)
    unbroken = load_file(out / "adapter_model.safetensors")
    shutil.rmtree(out / "checkpoint-4")
    (out / "adapter_model.safetensors").unlink()
    figures = train(options(tiny, out, max_steps=4, save_steps=2, resume=True), rows)
    assert figures["steps"] == 4
    resumed = load_file(out / "adapter_model.safetensors")
    assert all(torch.allclose(resumed[name], unbroken[name], atol=1e-6) for name in unbroken)


def test_a_training_killed_in_the_middle_goes_on(tiny, tmp_path, rows):
    import signal
    import subprocess
    import sys
    import time

    from safetensors.torch import load_file

    rows.to_parquet(tmp_path / "train.parquet")
    flags = [str(tmp_path / "train.parquet"), f"--model_name_or_path={tiny}"]
    flags += ["--device=cpu", f"--cache_dir={CACHE}"]
    flags += ["--max_steps=12", "--per_device_train_batch_size=2", "--learning_rate=0.01", "--save_steps=1"]
    train(read_arguments([*flags, f"--output_dir={tmp_path / 'whole'}"]))
    out = tmp_path / "out"
    slow = "import time, transformers.trainer_callback as t; d = t.DefaultFlowCallback; s = d.on_step_end\n"
    slow += "d.on_step_end = lambda *a, **k: (time.sleep(0.5), s(*a, **k))[1]\n"  # so that the kill finds it at work
    slow += "import runpy; runpy.run_module('entp_hf.training', run_name='__main__')"
    run = subprocess.Popen([sys.executable, "-c", slow, *flags, "-o", str(out)], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (out / "checkpoint-3").exists() and time.monotonic() < until:
        time.sleep(0.1)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert (out / "checkpoint-3").exists()
    assert not (out / "adapter_model.safetensors").exists()
    train(read_arguments([*flags, f"--output_dir={out}", "--resume_from_checkpoint=True"]))
    whole, resumed = (load_file(folder / "adapter_model.safetensors") for folder in (tmp_path / "whole", out))
    assert all(torch.allclose(resumed[name], whole[name], atol=1e-5) for name in whole)


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(tmp_path, caplog):
    for number in (2, 9, 10):
        (tmp_path / f"checkpoint-{number}").mkdir()
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-9" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-10" / "trainer_state.json").write_text('{"epoch": ')
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-9")
    assert "checkpoint-10 was not written to its end" in caplog.text
    assert last_checkpoint(tmp_path / "absent") is None


def test_a_template_for_a_model_without_one(tiny, tmp_path, rows):
    tokenizer = new_tokenizer(tiny)
    tokenizer.chat_template = None
    bare = tmp_path / "bare"
    new_causal_lm(tiny, "cpu").save_pretrained(bare)
    tokenizer.save_pretrained(bare)
    with pytest.raises(InputError, match="has no chat template"):
        train(options(str(bare), tmp_path / "out", max_steps=1), rows)
    spy = Spy()
    train(options(str(bare), tmp_path / "out", max_steps=1, chat_template="tulu"), rows, callbacks=[spy])
    answers = sorted(tokenizer.decode([t for t in row if t != -100]) for b in spy.batches for row in b["labels"])
    assert answers == sorted(
        "".join(m["content"] + "<|im_end|>" for m in c if m["role"] == "assistant") for c in CHATS
    )
    assert "<|assistant|>" in new_tokenizer(str(tmp_path / "out")).chat_template
    (tmp_path / "x.jinja").write_text("{{ messages }}")
    with pytest.raises(InputError, match="has no {% generation %} marks"):
        train(options(str(bare), tmp_path / "b", chat_template=str(tmp_path / "x.jinja")), rows)
    with pytest.raises(InputError, match="no shipped template; shipped: tulu, smollm2"):
        train(options(str(bare), tmp_path / "b", chat_template="alpaca"), rows)


def test_out_of_memory_names_the_settings(tiny, tmp_path, rows, monkeypatch):
    def fails(self, **given):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("trl.SFTTrainer.train", fails)
    with pytest.raises(
        EntpError, match=r"training: out of memory .*per_device_train_batch_size.*gradient_checkpointing"
    ):
        train(options(tiny, tmp_path / "out"), rows)

    def other(self, **given):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr("trl.SFTTrainer.train", other)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        train(options(tiny, tmp_path / "out"), rows)


def test_the_card_says_what_happened_and_goes_to_the_hub_with_the_model(tiny, tmp_path, monkeypatch):
    pytest.importorskip("lm_eval", reason="eval_tasks needs lm-eval")
    built = Result(*example_rows(made=2), manifest()).save(tmp_path / "built")
    folder = tmp_path / "out"
    for name, value in {"HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True, "ENDPOINT": ""}.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    with LocalHub() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_ann")
        train(
            options(
                tiny,
                folder,
                dataset=str(built),
                max_steps=1,
                eval_tasks="entp_quiz",
                eval_limit=4,
                push_to="ann/tuned",
                private=True,
                max_length=64,
            )
        )
        repo = hub.repos["model", "ann/tuned"]
        assert hub.seen["POST /api/validate-yaml"] >= 1
    assert repo.private
    assert {"adapter_model.safetensors", "adapter_config.json", "training.json", "dataset_manifest.json"} <= {
        *repo.files
    }
    record = json.loads(repo.files["training.json"])
    card = huggingface_hub.ModelCard(repo.files["README.md"].decode())
    data = card.data.to_dict()
    assert data["library_name"] == "peft"
    assert data["model-index"][0]["name"] == "ann/tuned"
    figures = [figure for result in data["model-index"][0]["results"] for figure in result["metrics"]]
    (found,) = [figure for figure in figures if figure["type"] == "acc_norm"]
    quiz = record["evaluation"]["entp_quiz"]
    assert found["value"] == quiz["acc_norm"]
    assert found["config"] == f"standard error {quiz['acc_norm_stderr']:g}"
    assert "is in the [manifest](dataset_manifest.json)" in card.text and "Items: entp\\_quiz 4." in card.text
    assert f"| first loss | {num(record['loss_first'])} |" in card.text
    assert "turns of the dataset below" in card.text
    assert str(tmp_path) not in card.text
    assert SFTOptions(push_to="model").problems() == ["push_to: 'model' is not OWNER/NAME"]


def test_a_card_of_ones_own_stays_and_an_unreachable_hub_costs_no_model(tiny, tmp_path, rows):
    folder = tmp_path / "out"
    with pytest.raises(OutputError, match="push_to me/model: .*holds the model"):  # offline
        train(options(tiny, folder, max_steps=1, push_to="me/model"), rows)
    assert (folder / "adapter_model.safetensors").exists()
    first = (folder / "README.md").read_text()
    assert "a dataset that is not named here" in first and "manifest" not in first
    train(options(tiny, folder, max_steps=2, overwrite=True), rows)
    assert "| optimiser steps | 2 |" in (folder / "README.md").read_text()  # ours is written anew
    (folder / "README.md").write_text("# Mine\n")
    train(options(tiny, folder, max_steps=1, overwrite=True), rows)
    assert (folder / "README.md").read_text() == "# Mine\n"


def test_an_evaluation_that_cannot_be_is_told_before_the_training(tiny, tmp_path, rows):
    pytest.importorskip("lm_eval", reason="eval_tasks needs lm-eval")
    with pytest.raises(ConfigError, match="benchmark_dir: absent is no folder"):
        train(options(tiny, tmp_path / "out", eval_tasks="mmlu", benchmark_dir="absent"), rows)
    assert not (tmp_path / "out").exists()


def test_example_configurations_of_accelerate_are_read_by_it():
    config_args = pytest.importorskip("accelerate.commands.config.config_args", reason="needs accelerate")
    folder = Path(__file__).parents[2] / "docs" / "accelerate"
    kinds = {f.stem: config_args.load_config_from_file(str(f)).distributed_type for f in folder.glob("*.yaml")}
    assert kinds == {"fsdp": "FSDP", "deepspeed_zero3": "DEEPSPEED"}


def test_smollm2_learns_two_rows(tmp_path, rows):
    smollm2()
    two = rows.select([0, 2])
    before = heldout_loss(SMOLLM2, None, two, device="cpu", cache_dir=CACHE)
    figures = train(options(SMOLLM2, tmp_path / "out", learning_rate=2e-3, max_length=64), two)
    after = heldout_loss(SMOLLM2, figures["adapter"], two, device="cpu", cache_dir=CACHE)
    assert figures["loss_last"] < figures["loss_first"]
    assert after["loss"] < 0.7 * before["loss"]
    assert after["tokens"] == before["tokens"]
    config = json.loads(Path(figures["adapter"], "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == SMOLLM2  # not the folder on this machine


@pytest.mark.parametrize("verbosity", ["warning", "error"])  # the command line sets error: no bar by default
def test_the_loss_is_on_the_bar_and_not_a_dictionary_in_the_way(tiny, rows, tmp_path, capsys, verbosity):
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(getattr(transformers.logging, verbosity.upper()))
    try:
        figures = train(options(tiny, tmp_path / "sft", max_steps=2), rows)
    finally:
        transformers.logging.set_verbosity(before)
    out, err = capsys.readouterr()
    assert "train: 100%" in err and f"loss={figures['loss_last']:.4g}" in err
    assert "{'" not in out + err
