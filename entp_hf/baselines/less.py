"""LESS: rows whose LoRA gradients, after a warm-up, are similar to those of a target set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Float64, FloatMatrix
from ..errors import memory_advice, require
from ..models.chat_template import encode, training_template
from ..models.loading import fingerprint, load_tokenizer, new_causal_lm, resolve
from ..models.losses import Tokens, measuring_model, scored_on_disk
from .base import Picked, Pool, Settings, best_first

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
BLOCK = 65_536  # gradient entries projected at a time: bounds memory for the signs (not in the paper)


@dataclass(frozen=True)
class Checkpoint:
    """LoRA weights after an epoch of warm-up, Adam's moments m and v (P,), steps taken, the epoch's mean rate."""

    weights: dict[str, Any]
    first: Any
    second: Any
    steps: int
    rate: float


def less(pool: Pool, n: int, settings: Settings) -> Picked:
    """LESS (Xia et al., arXiv 2402.04333): influence on the loss of a target set, by low-rank gradient similarity.

    A LoRA warm-up of `epochs` on `warmup_share` of the pool; then Inf(z, t) = sum_i eta_i cos(grad(t; theta_i),
    Gamma(z; theta_i)) over its checkpoints, Gamma being Adam's update for row z (its Definition 3.1), both projected
    to `dimensions` by a seeded Rademacher matrix; the mean over a task's target rows, and the best task counts. LoRA
    is on the attention's four projections, as in the paper. Rows of one length share nothing here: gradients are per
    row, so a row costs a forward and a backward pass for each checkpoint. Projected gradients are kept on disk.
    """
    require("peft", "train", "LESS")
    target = pool.needs_target("less")
    path = resolve(measuring_model(pool.config), str(pool.config.cache_path()))
    tokenizer = load_tokenizer(path)
    template, longest = training_template(tokenizer), int(settings["max_length"])

    def tokens(rows: Sequence[Any]) -> list[Tokens]:
        pairs = zip(*encode(tokenizer, [row["messages"] for row in rows], template), strict=True)
        return [(ids[:longest], mask[:longest]) for ids, mask in pairs]

    mine, wanted = tokens(pool.listed), tokens(target)
    usable = np.array([1 in mask[1:] for _, mask in mine])
    rng = np.random.default_rng(pool.config.seed)
    count = min(int(usable.sum()), max(4, round(float(settings["warmup_share"]) * len(mine))))
    warm = [mine[i] for i in rng.permutation(np.flatnonzero(usable))[:count]]
    tasks = [str(row.get("task") or "") for row in target]
    score = np.zeros(len(mine))
    for checkpoint, train, aim in _features(pool, path, settings, warm, mine, wanted):
        score += checkpoint.rate * influence(train, aim, tasks)
    return best_first(np.where(usable, score, np.nan), n, pool.config.seed)


def influence(train: FloatMatrix, target: FloatMatrix, tasks: Sequence[str]) -> Float64:
    """(N,): the largest over tasks of a row's mean cosine similarity with the task's target rows."""

    def unit(matrix: FloatMatrix) -> Float64:
        size = np.linalg.norm(matrix, axis=1, keepdims=True)
        return (matrix / np.where(size > 0, size, 1)).astype(float)

    cosine = unit(train) @ unit(target).T
    names = np.array(tasks)
    best: Float64 = np.max([cosine[:, names == name].mean(axis=1) for name in sorted(set(tasks))], axis=0)
    return best


def _features(
    pool: Pool, path: str, settings: Settings, warm: list[Tokens], mine: list[Tokens], wanted: list[Tokens]
) -> Iterator[tuple[Checkpoint, FloatMatrix, FloatMatrix]]:
    """For each checkpoint the projected gradients of the pool's rows (N, d) and of the target's."""
    import torch

    config, size = pool.config, int(settings["dimensions"])
    named = {name: value for name, value in settings.items() if name != "dimensions"}
    with memory_advice("less", "Lower rank, dimensions or max_length"):
        model = _with_lora(path, config.device, settings, config.seed)
        known = f"{fingerprint(measuring_model(config))}\x1f{sorted(named.items())}\x1f{config.seed}\x1f{warm}"
        name = hashlib.blake2b(known.encode(), digest_size=8).hexdigest()
        for number, checkpoint in enumerate(
            _checkpoints(model, warm, settings, config.cache_path() / "less" / f"{name}.pt", config.seed)
        ):
            model.load_state_dict(checkpoint.weights, strict=False)

            def gradients(adam: bool, at: Checkpoint = checkpoint) -> Callable[[Sequence[Tokens]], FloatMatrix]:
                def of(part: Sequence[Tokens]) -> FloatMatrix:
                    rows = [gradient(model, pair) for pair in part]
                    rows = [update(row, at) for row in rows] if adam else rows
                    return project(torch.stack(rows), size, config.seed)

                return of

            kind = f"less\x1f{name}\x1f{number}\x1f{size}\x1f"
            label = f"gradients {number + 1}"
            train = scored_on_disk(mine, kind + "adam", gradients(True), config, label)
            yield checkpoint, train, scored_on_disk(wanted, kind + "sgd", gradients(False), config, label + ", target")


def _with_lora(path: str, device: str, settings: Settings, seed: int) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    lora = LoraConfig(
        r=int(settings["rank"]),
        lora_alpha=int(settings["alpha"]),
        task_type="CAUSAL_LM",
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
    )
    return get_peft_model(new_causal_lm(path, device), lora)


def trainable(model: Any) -> list[Any]:
    """The parameters that are trained, in the model's order."""
    return [weights for weights in model.parameters() if weights.requires_grad]


def gradient(model: Any, pair: Tokens) -> Any:
    """Gradient of a row's mean loss on its marked tokens, flat (P,), on the CPU; zeros where there are none."""
    import torch

    ids, mask = (torch.tensor([part], device=model.device) for part in pair)
    labels = torch.where(mask > 0, ids, -100)
    weights = trainable(model)
    if not (labels[:, 1:] >= 0).any():
        return torch.zeros(sum(w.numel() for w in weights))
    loss = model(input_ids=ids, labels=labels).loss
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]).float().cpu()


def update(grad: Any, at: Checkpoint) -> Any:
    """Adam's step direction for `grad` with the moments of the checkpoint, both corrected for their bias."""
    t = at.steps + 1
    first = (BETAS[0] * at.first + (1 - BETAS[0]) * grad) / (1 - BETAS[0] ** t)
    second = (BETAS[1] * at.second + (1 - BETAS[1]) * grad**2) / (1 - BETAS[1] ** t)
    return first / (second.sqrt() + EPSILON)


def project(rows: Any, size: int, seed: int) -> FloatMatrix:
    """(B, P) to (B, size) by random signs over the square root of `size`; the same signs for the same seed."""
    import torch

    out = torch.zeros(len(rows), size)
    for number, start in enumerate(range(0, rows.shape[1], BLOCK)):
        part = rows[:, start : start + BLOCK]
        for column in range(0, size, 1024):
            width = min(1024, size - column)
            state = int(np.random.SeedSequence([seed, number, column]).generate_state(1)[0])
            draw = torch.Generator().manual_seed(state)
            signs = torch.randint(0, 2, (part.shape[1], width), generator=draw, dtype=torch.int8).float() * 2 - 1
            out[:, column : column + width] += part @ signs
    projected: FloatMatrix = (out / size**0.5).numpy()
    return projected


def _checkpoints(model: Any, warm: list[Tokens], settings: Settings, file: Path, seed: int) -> list[Checkpoint]:
    """The warm-up's checkpoints, one an epoch; trained on the first call and kept in `file`."""
    import torch

    if file.is_file():
        stored = torch.load(file, map_location="cpu", weights_only=True)
        return [Checkpoint(**values) for values in stored]
    made = warm_up(model, warm, int(settings["epochs"]), float(settings["learning_rate"]), seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    torch.save([vars(checkpoint) for checkpoint in made], part)
    part.replace(file)
    return made


def warm_up(model: Any, rows: Sequence[Tokens], epochs: int, rate: float, seed: int) -> list[Checkpoint]:
    """Train with Adam, one row a step and a linearly falling rate, and return the state after each epoch."""
    import torch

    weights = trainable(model)
    first = torch.zeros(sum(w.numel() for w in weights))
    second, step, total = torch.zeros_like(first), 0, epochs * len(rows)
    made = []
    for epoch in range(epochs):
        rates = []
        for i in np.random.default_rng([seed, epoch]).permutation(len(rows)):
            grad = gradient(model, rows[i])
            move = update(grad, Checkpoint({}, first, second, step, 0.0))
            first, second = BETAS[0] * first + (1 - BETAS[0]) * grad, BETAS[1] * second + (1 - BETAS[1]) * grad**2
            rates.append(rate * (1 - step / total))
            step += 1
            _move(weights, move, rates[-1])
        names = {name: w.detach().cpu().clone() for name, w in model.named_parameters() if w.requires_grad}
        made.append(Checkpoint(names, first.clone(), second.clone(), step, float(np.mean(rates))))
    return made


def _move(weights: Sequence[Any], move: Any, rate: float) -> None:
    import torch

    with torch.no_grad():
        for part, w in zip(move.split([w.numel() for w in weights]), weights, strict=True):
            w -= (rate * part).view_as(w).to(w.device, w.dtype)
