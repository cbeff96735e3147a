"""Fine-tuning of other architectures than SmolLM2's, by configuration alone: tiny random models of each family.

Weights are random and the vocabulary is SmolLM2's, so nothing is learned of language: what is tested is that the
model's modules are found, that only the assistant's tokens count under its own chat template, that the adapter comes
back as it was trained, and that it merges.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from tiny import CACHE, CHATS, smollm2

from entp_hf.models.chat_template import encode, training_template
from entp_hf.models.loading import new_causal_lm, new_tokenizer
from entp_hf.training.options import SFTOptions
from entp_hf.training.sft import train

torch = pytest.importorskip("torch", reason="training needs torch")
trl = pytest.importorskip("trl", reason="training needs trl")
peft = pytest.importorskip("peft", reason="training needs peft")
transformers = pytest.importorskip("transformers", reason="training needs transformers")

SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 256, "initializer_range": 0.2, "head_dim": 16,
}  # fmt: skip
# family: configuration class, template file of TRL ("": the tokenizer's own), what an answer's tokens end with
FAMILIES = {
    "llama": ("LlamaConfig", "llama3.jinja", "<|eot_id|>"),
    "mistral": ("MistralConfig", "", "<|im_end|>"),
    "qwen2": ("Qwen2Config", "qwen2_5.jinja", "<|im_end|>"),
    "qwen3": ("Qwen3Config", "qwen3.jinja", "<|im_end|>"),
    "gemma": ("GemmaConfig", "gemma.jinja", "<end_of_turn>"),
    "gemma2": ("Gemma2Config", "gemma.jinja", "<end_of_turn>"),
    "gemma3": ("Gemma3TextConfig", "gemma3.jinja", "<end_of_turn>"),
    "smollm3": ("SmolLM3Config", "", "<|im_end|>"),
}
ASKED = [chat for chat in CHATS if chat[0]["role"] != "system"]  # Gemma's template refuses a system turn


def tiny_model(family: str, folder: Path) -> str:
    """Write a random model of the family, with its chat template, to `folder`."""
    name, template, _ = FAMILIES[family]
    tokenizer = new_tokenizer(smollm2())
    if template:
        file = Path(trl.__file__).parent / "chat_templates" / template
        if not file.is_file():
            pytest.skip(f"this version of TRL ships no {template}")
        tokenizer.chat_template = file.read_text(encoding="utf-8")
    torch.manual_seed(0)
    config = getattr(transformers, name)(
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SIZES,
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def logits(model, inputs):
    with torch.no_grad():
        return model.eval()(input_ids=inputs).logits


class Watch(transformers.TrainerCallback):
    """The labels of all batches, and the logits of the trained model."""

    def __init__(self, inputs):
        self.inputs = inputs

    def on_train_begin(self, args, state, control, train_dataloader=None, **kwargs):
        self.labels = [row for batch in train_dataloader for row in batch["labels"].tolist()]

    def on_train_end(self, args, state, control, model=None, **kwargs):
        self.logits = logits(model, self.inputs)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_trains_on_answers_alone_and_its_adapter_comes_back(family, tmp_path):
    path = tiny_model(family, tmp_path / "model")
    tokenizer = new_tokenizer(path)
    end = FAMILIES[family][2]
    ids, masks = encode(tokenizer, ASKED, training_template(tokenizer))
    for chat, row, mask in zip(ASKED, ids, masks, strict=True):
        kept = tokenizer.decode([token for token, counts in zip(row, mask, strict=True) if counts])
        answers = [message["content"] for message in chat if message["role"] == "assistant"]
        assert all(answer in kept for answer in answers)
        assert not any(message["content"] in kept for message in chat if message["role"] == "user")
        assert kept.rstrip("\n").endswith(end)

    spy = Watch(torch.arange(50, 80).reshape(1, -1))
    options = SFTOptions(
        model=path,
        output_dir=str(tmp_path / "out"),
        max_steps=4,
        batch_size=3,
        learning_rate=2e-2,
        device="cpu",
        cache_dir=CACHE,
        merge=True,
    )
    figures = train(options, Dataset.from_dict({"messages": ASKED}), [spy])
    assert figures["loss_last"] < figures["loss_first"]
    counted = sorted(tokenizer.decode([t for t in row if t != -100]) for row in spy.labels)
    assert counted == sorted(
        tokenizer.decode([t for t, m in zip(row, mask, strict=True) if m])
        for row, mask in zip(ids, masks, strict=True)
    )
    adapted = peft.PeftModel.from_pretrained(new_causal_lm(path, "cpu"), figures["adapter"])
    assert torch.allclose(logits(adapted, spy.inputs), spy.logits, atol=1e-5)
    merged = new_causal_lm(str(tmp_path / "out" / "merged"), "cpu")
    assert torch.allclose(logits(merged, spy.inputs), spy.logits, atol=2e-3)
    assert not torch.allclose(logits(new_causal_lm(path, "cpu"), spy.inputs), spy.logits, atol=1e-2)
