"""The snippets of docs/trl.md run, one after the other; its options exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import CACHE, smollm2, tiny_llama

from entp_hf.data import pool_files

pytest.importorskip("trl", reason="the page is about TRL")
pytest.importorskip("lm_eval", reason="its callbacks run benchmarks")

PAGE = (Path(__file__).parent.parent / "docs" / "trl.md").read_text(encoding="utf-8")


def test_the_snippets_run_in_their_order(tmp_path: Path) -> None:
    smollm2()
    model = tiny_llama(tmp_path / "tiny")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S))
    assert "trainer.train()" in code and "Purge(" in code
    code = code.replace("HuggingFaceTB/SmolLM2-135M-Instruct", model)
    code += "\nprint([row for row in trainer.state.log_history if 'eval_entp_quiz_acc_norm' in row])"
    code += "\nprint(open('out-sft/README.md').read())\nprint('BEST', trainer.state.best_metric)"
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    (tmp_path / "pool.jsonl").write_text(Path(pool_files()[0]).read_text(encoding="utf-8"), encoding="utf-8")
    chats = Path(pool_files()[0]).with_name("chats.jsonl")
    (tmp_path / "chats.jsonl").write_text(chats.read_text(encoding="utf-8"), encoding="utf-8")
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "ENTP_CACHE": CACHE, "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "'step': 0" in done.stdout and "'step': 2" in done.stdout
    assert "- entp" in done.stdout and "generated_from_trainer" not in done.stdout
    assert "BEST 0." in done.stdout or "BEST 1." in done.stdout


def test_the_options_of_the_console_snippets_are_taken() -> None:
    from entp_hf.training.arguments import read_arguments

    lines = re.findall(r"^entp train (.*)", "\n".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.M | re.S)), re.M)
    assert len(lines) == 2
    for line in lines:
        words = line.replace("-o out-sft", "--output_dir out-sft").replace("--config recipe.yaml", "").split()
        assert read_arguments(words).output_dir == "out-sft"


def test_the_table_of_defaults_is_right() -> None:
    from trl import ModelConfig, SFTConfig

    from entp_hf.training.options import SFTOptions

    table = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", PAGE, re.M))
    ours = {"learning_rate": "learning_rate", "num_train_epochs": "epochs", "seed": "seed"}
    ours |= {"per_device_train_batch_size": "batch_size", "max_length": "max_length", "logging_steps": "logging_steps"}
    for name, field in ours.items():
        assert float(table[name]) == getattr(SFTOptions(), field)
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        assert float(row.split("|")[3]) == getattr(SFTConfig, name)
    assert (ModelConfig.lora_r, ModelConfig.lora_alpha, ModelConfig.lora_dropout) == (16, 32, 0.05)
