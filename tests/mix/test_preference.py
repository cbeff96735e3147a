"""The pairs of a run, as TRL's DPOTrainer takes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_rows import row
from tiny import tiny_llama

from entp_hf.execution.tables import as_dataset
from entp_hf.io.parquet import write_rows
from entp_hf.mix.assembly import preference_pairs
from entp_hf.mix.fusion import Fused, fused_row
from entp_hf.mix.groups import Group


def pairs(number: int = 4):
    rows = [row(f"How do I cook dish {i}?", "Boil it.") for i in range(number)]
    made = [
        fused_row(
            Group(r, ()),
            Fused(instruction=f"How do I cook dish {i} well?", response="Boil it, then rest it."),
            "m",
            "v",
            1,
        )
        for i, r in enumerate(rows)
    ]
    return preference_pairs(made, as_dataset(rows))


def test_the_fused_answer_is_chosen_over_the_representatives():
    found = pairs()
    assert found.column_names == ["prompt", "chosen", "rejected"]
    assert found[1] == {
        "prompt": [{"role": "user", "content": "How do I cook dish 1 well?"}],
        "chosen": [{"role": "assistant", "content": "Boil it, then rest it."}],
        "rejected": [{"role": "assistant", "content": "Boil it."}],
    }


def test_dpo_trains_on_the_file_as_it_is(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write_rows(pairs(), tmp_path / "preference" / "train.parquet")
    rows = load_dataset(str(tmp_path / "preference"), split="train", cache_dir=str(tmp_path))
    model = AutoModelForCausalLM.from_pretrained(tiny_llama(tmp_path / "model"), dtype=torch.float32)
    before = model.model.layers[0].mlp.up_proj.weight.detach().clone()
    options = trl.DPOConfig(
        output_dir=str(tmp_path / "out"),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        bf16=False,
        use_cpu=True,
        report_to="none",
        logging_steps=1,
        save_strategy="no",
        gradient_checkpointing=False,
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    trainer = trl.DPOTrainer(model=model, args=options, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)  # -log sigmoid(0): policy and reference are equal at first
    assert losses[1] < losses[0]
    assert not torch.equal(before, trainer.model.model.layers[0].mlp.up_proj.weight.cpu())
