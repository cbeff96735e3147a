"""`entp train` and `python -m entp_hf.training` in TRL's words."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset
from tiny import CACHE, CHATS, tiny_llama

from entp_hf.errors import ConfigError, InputError
from entp_hf.training.options import SFTOptions

pytest.importorskip("trl", reason="training needs trl")
pytest.importorskip("peft", reason="training needs peft")

from entp_hf.training.arguments import OLD_NAMES, read_arguments  # noqa: E402
from entp_hf.training.sft import train  # noqa: E402


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "test"):
        Dataset.from_dict({"messages": CHATS}).to_parquet(folder / f"{split}.parquet")
    return str(folder)


def test_trls_names_ours_and_the_hyphened_ones():
    options = read_arguments(
        ["data", "--per_device_train_batch_size", "2", "--learning-rate=1e-4", "--optim", "adafactor"]
        + ["--lora_target_modules", "q_proj", "v_proj", "--model_name_or_path=m", "--save_total_limit", "3"]
        + ["--lr_scheduler_type", "cosine", "--num_train_epochs", "2", "--gradient_checkpointing", "--merge"]
    )
    assert (options.dataset, options.batch_size, options.learning_rate, options.model) == ("data", 2, 1e-4, "m")
    assert (options.lora_targets, options.scheduler, options.epochs) == ("q_proj,v_proj", "cosine", 2.0)
    assert options.gradient_checkpointing and options.merge
    assert options.trl == {"optim": "adafactor", "save_total_limit": 3}
    defaults = dataclasses.replace(SFTOptions(), dataset="data")
    assert read_arguments(["data"]) == defaults
    assert read_arguments(["--dataset_name", "data", "--use_peft", "False"]) == dataclasses.replace(
        defaults, full=True
    )


def test_every_field_of_trl_is_taken_or_refused_with_a_reason():
    from trl import ModelConfig, SFTConfig

    fields = [field for kind in (SFTConfig, ModelConfig) for field in dataclasses.fields(kind)]
    flags = {field.name: field for field in fields}
    assert len(flags) > 130
    unknown = []
    for name, field in flags.items():
        value = {bool: "True", int: "1", float: "1"}.get(field.type, "x")
        try:
            read_arguments(["data", f"--{name}={value}"])
        except ConfigError as error:
            if "no such option" in str(error):
                unknown.append(name)
    assert unknown == []


def test_short_names_of_the_last_release_pass_with_a_hint(caplog):
    options = read_arguments(["--dataset", "data", "--batch_size", "2", "--resume", "True", "--epochs=3"])
    assert (options.dataset, options.batch_size, options.resume, options.epochs) == ("data", 2, True, 3.0)
    assert "--batch_size is --per_device_train_batch_size in TRL" in caplog.text
    assert OLD_NAMES["push_to"] == "hub_model_id"


def test_a_yaml_file_as_trlparser_reads_it(tmp_path, monkeypatch):
    monkeypatch.delenv("ENTP_TEST_ENV", raising=False)
    file = tmp_path / "r.yaml"
    file.write_text(
        "model_name_or_path: m\ndataset_name: data\nlearning_rate: 2e-5\nper_device_train_batch_size: 2\n"
        "packing: true\nlora_target_modules: [q_proj]\nmodel_init_kwargs: {low_cpu_mem_usage: true}\n"
        "env: {ENTP_TEST_ENV: 7}\n"
    )
    options = read_arguments(["--packing=False"], file)
    assert (options.model, options.dataset, options.learning_rate, options.packing) == ("m", "data", 2e-5, False)
    assert options.trl == {"model_init_kwargs": {"low_cpu_mem_usage": True}}
    assert os.environ["ENTP_TEST_ENV"] == "7"
    file.write_text("- a\n")
    with pytest.raises(InputError, match="holds no mapping"):
        read_arguments([], file)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--per_device_train_batchsize", "2"], "did you mean --per_device_train_batch_size"),
        (["--learning_rate", "fast"], "learning_rate: invalid float value: 'fast'"),
        (["--lr_scheduler_type", "cosin"], "cosin"),
        (["--assistant_only_loss", "False"], "assistant_only_loss: can't be set here"),
        (["--per_device_train_batch_size", "0"], "per_device_train_batch_size: 0 is out of range"),
        (["--push_to_hub"], "needs --hub_model_id"),
        (["other"], "more than one given: data, other"),
    ],
)
def test_wrong_arguments_are_told(tokens, message):
    with pytest.raises(ConfigError, match=message):
        read_arguments(["data", *tokens])


def test_what_trl_takes_is_what_the_trainer_has(tiny, data, tmp_path):
    import transformers

    class Look(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            self.args, self.model = args, kwargs["model"]

    look = Look()
    options = read_arguments(
        [data, f"--model_name_or_path={tiny}", f"--output_dir={tmp_path / 'out'}", "--device=cpu", "--max_steps=2"]
        + ["--optim=adafactor", "--weight_decay=0.1", "--eval_strategy=steps", "--eval_steps=1", "--save_steps=1"]
        + ["--save_total_limit=1", "--attn_implementation=eager", "--dtype=float32", f"--cache_dir={CACHE}"]
        + ["--per_device_train_batch_size=2", "--use_rslora", "--report_to=none"]
    )
    figures = train(options, callbacks=[look])
    assert (look.args.optim, look.args.weight_decay, look.args.save_total_limit) == ("adafactor", 0.1, 1)
    assert look.model.config._attn_implementation == "eager"
    assert look.model.peft_config["default"].use_rslora
    assert [path.name for path in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-2"]
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["options"]["trl"]["optim"] == "adafactor"
    # With a checkpoint written, TRL's stub came first; the card is this package's all the same.
    card = (tmp_path / "out" / "README.md").read_text()
    assert figures["card"] and "- entp" in card and "generated_from_trainer" not in card


def test_an_evaluation_without_a_test_split_is_told_before_the_training(tiny, tmp_path):
    Dataset.from_dict({"messages": CHATS}).to_parquet(tmp_path / "train.parquet")
    options = read_arguments([str(tmp_path), f"--model={tiny}", f"--output_dir={tmp_path}/o", "--eval_strategy=steps"])
    with pytest.raises(InputError, match=r"holds no data/test.parquet"):
        train(options)


def run(module, *arguments, **env):
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **env}, cwd=Path(__file__).parent
    )


def test_python_m_training_is_entp_train_and_the_old_command_passes_on(tiny, data, tmp_path):
    out = tmp_path / "out"
    old = ["--model", tiny, "--dataset", data, "--output_dir", str(out), "--device", "cpu", "--max_steps", "1"]
    done = run("entp_hf.sft", *old, "--batch_size", "2", "--cache_dir", CACHE, COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert "python -m entp_hf.sft is now python -m entp_hf.training" in done.stderr
    assert (out / "adapter_model.safetensors").is_file()
    again = run("entp_hf.training", data, "-o", str(out), COLUMNS="200")
    assert again.returncode == 1 and "error:" in again.stderr and "is not empty" in again.stderr
    wrong = run("entp_hf.training", data, "-o", str(out), "--per_device_train_batchsize", "2", COLUMNS="200")
    assert "Traceback" not in wrong.stderr and "did you mean --per_device_train_batch_size" in wrong.stderr
