"""Conversations as training data: reading them, and which of their tokens are the assistant's and so count."""

from __future__ import annotations

import importlib.resources
import importlib.util
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..errors import InputError

logger = logging.getLogger(__name__)
_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
# Conversations that a training template has to render just as the model's own template does.
_PROBES: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
    [
        {"role": "system", "content": "Be brief.\n"},
        {"role": "user", "content": " Two lines:\n\n{{ a }} "},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Again, é 你好"},
        {"role": "assistant", "content": "\n  kept as it is \n"},
    ],
)


def training_template(tokenizer: Any) -> str:
    """A chat template with `{% generation %}` markers that renders the same text as the tokenizer's own.

    The own template if it has markers, else the one in `templates/` that renders the same, else TRL's patched one.
    Raises InputError if there is none.
    """
    own = tokenizer.chat_template
    own = own.get("default") if isinstance(own, Mapping) else own
    if not own:
        raise InputError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template, so conversations can't be rendered; "
            "use an instruction-tuned model, or set one in its chat_template.jinja"
        )
    if _MARKER.search(own):
        return str(own)
    for file in importlib.resources.files("entp_hf.templates").iterdir():
        if file.name.endswith(".jinja"):
            candidate = file.read_text(encoding="utf-8")
            if _renders_same(tokenizer, own, candidate):
                return candidate
    return _patched_by_trl(tokenizer, own)


def given_template(name: str) -> str:
    """The text of a template file, or of one that is shipped by name (tulu). Raises InputError.

    It must have `{% generation %}` marks: there is no other template of the model to render the same as.
    """
    shipped = importlib.resources.files("entp_hf.templates") / f"{name}_training.jinja"
    file: Any = Path(name)
    if not file.is_file():
        if not shipped.is_file():
            raise InputError(f"chat_template {name}: is no file, and no shipped template; shipped: tulu, smollm2")
        file = shipped
    text = str(file.read_text(encoding="utf-8"))
    if not _MARKER.search(text):
        raise InputError(f"chat_template {name}: has no {{% generation %}} marks around the assistant's content")
    return text


def _renders_same(tokenizer: Any, own: str, candidate: str) -> bool:
    from jinja2.exceptions import TemplateError

    def render(template: str, probe: list[dict[str, str]], prompt: bool) -> str:
        options = {"chat_template": template, "tokenize": False, "add_generation_prompt": prompt}
        try:
            return str(tokenizer.apply_chat_template(probe, **options))
        except TemplateError as error:  # templates refuse roles this way; the other one has to refuse them too
            return f"refused: {error}"

    cases = [(probe, False) for probe in _PROBES] + [(probe[:-1], True) for probe in _PROBES]
    return all(render(own, *case) == render(candidate, *case) for case in cases)


def _patched_by_trl(tokenizer: Any, own: str) -> str:
    problem = "and TRL is not installed, which knows more of them (pip install 'entp-hf[train]')"
    if importlib.util.find_spec("trl"):
        from trl.chat_template_utils import get_training_chat_template

        try:
            return str(get_training_chat_template(tokenizer) or own)
        except ValueError as error:
            problem = f"and TRL has none either ({error})"
    raise InputError(
        f"{tokenizer.name_or_path}: its chat template has no {{% generation %}} markers, no template of this package "
        f"renders the same text, {problem}. Put the markers around the assistant's content and stop token in its "
        "chat_template.jinja"
    )


def encode(
    tokenizer: Any, conversations: Sequence[Sequence[Mapping[str, str]]], template: str
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of each conversation, and a 0/1 mask of the same length: 1 for the assistant's tokens and its stop."""
    if not conversations:
        return [], []
    encoded = tokenizer.apply_chat_template(
        [list(messages) for messages in conversations],
        chat_template=template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return encoded["input_ids"], encoded["assistant_masks"]


def load_rows(dataset: str) -> Dataset:
    """The rows of `dataset`: an `entp build` folder, a Parquet or JSON(L) file, or a Hub id (split train)."""
    from datasets import load_dataset

    place = Path(dataset)
    if dataset and place.is_dir():
        files = [place / "data" / "train.parquet", place / "train.parquet"]
        place = next((file for file in files if file.is_file()), place)
        if place.is_dir():
            raise InputError(f"{dataset}: holds no data/train.parquet or train.parquet; give a folder of entp build")
    form = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}.get(place.suffix)
    if place.is_file() and not form:
        raise InputError(f"{dataset}: is no .parquet, .jsonl or .json file")
    try:
        if place.is_file():
            return load_dataset(form, data_files=str(place), split="train")
        return load_dataset(dataset, split="train")
    except Exception as error:  # datasets wraps what goes wrong in a dozen types, Hub transport errors among them
        what = "can't be read" if place.is_file() else "is no folder or file, and no dataset of the Hub"
        raise InputError(f"dataset {dataset!r}: {what}: {type(error).__name__}: {error}") from error


def messages_only(rows: Dataset) -> Dataset:
    """The column `messages` alone; TRL would take `tools` and others of a row's columns for its own."""
    if "messages" not in rows.column_names:
        raise InputError(f"the dataset has no column 'messages', only {', '.join(rows.column_names) or 'none'}; "
                         "make one with `entp build`")  # fmt: skip
    if len(rows) == 0:
        raise InputError("the dataset has no rows to train on")
    rows = rows.select_columns(["messages"])
    bad = [i for i, row in enumerate(rows) if not any(m["role"] == "assistant" for m in row["messages"] or [])]
    if bad:
        raise InputError(f"{len(bad)} of {len(rows)} rows have no assistant turn to train on; first: row {bad[0]}")
    return rows


def check_lengths(rows: Dataset, tokenizer: Any, max_length: int) -> dict[str, int]:
    """Count the rows that max_length cuts, and those that it leaves no assistant token; warn of both.

    `tokenizer.chat_template` must be a training template. Raises InputError if no row is left.
    """
    too_long = unusable = 0
    for start in range(0, len(rows), 256):
        _, masks = encode(tokenizer, rows[start : start + 256]["messages"], tokenizer.chat_template)
        too_long += sum(len(mask) > max_length for mask in masks)
        unusable += sum(1 not in mask[:max_length] for mask in masks)
    if unusable == len(rows):
        raise InputError(f"no row has an assistant token within max_length {max_length}; raise max_length")
    if too_long:
        logger.warning("%d of %d rows are longer than max_length %d and are cut; %d of them have no assistant token "
                       "left and are not trained on. Raise max_length to keep them whole.",
                       too_long, len(rows), max_length, unusable)  # fmt: skip
    return {"rows_too_long": too_long, "rows_unusable": unusable}


def row_losses(model: Any, batch: Sequence[tuple[list[int], list[int]]]) -> tuple[list[float], list[int]]:
    """For rows of (token ids, 0/1 mask) the summed loss in nats over the marked tokens, and how many they are.

    The first token of a row has nothing before it, so it is never predicted and never counted.
    """
    import torch

    ids, masks = ([torch.tensor(part) for part in parts] for parts in zip(*batch, strict=True))
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = pad(ids, batch_first=True).to(model.device)
    counted = pad(masks, batch_first=True).to(model.device).bool()[:, 1:]
    attention = pad([torch.ones_like(row) for row in ids], batch_first=True).to(model.device)
    with torch.inference_mode():
        logits = model(input_ids=inputs, attention_mask=attention).logits[:, :-1][counted].float()
        each = torch.nn.functional.cross_entropy(logits, inputs[:, 1:][counted], reduction="none")
        total = torch.zeros(len(batch), device=each.device)
        total.index_add_(0, counted.nonzero()[:, 0], each)
    return total.tolist(), counted.sum(1).tolist()
