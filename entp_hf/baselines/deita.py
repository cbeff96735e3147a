"""DEITA: complexity times quality, then rows unlike what was chosen already."""

from __future__ import annotations

import numpy as np

from ..arrays import Float64, FloatMatrix, Ints
from ..embedding.exact import fine
from ..llm.local import LocalChat
from ..schema import instruction_of
from .base import Picked, Pool, Settings, best_first

# The input form that the released scorers were trained on; with any other their scores mean nothing.
COMPLEXITY_FORM = (
    "You are a helpful assistant. Please identify the complexity score of the following user query. \n"
    "##Query: {instruction}  \n##Complexity: "
)
QUALITY_FORM = (
    "You are a helpful assistant. Please identify the quality score of the Response corresponding to the Question. \n"
    " #Question#:\n{instruction}\n#Response#:\n{output} \n##Quality: "
)
GRADES = range(1, 7)


def deita(pool: Pool, n: int, settings: Settings) -> Picked:
    """DEITA (Liu et al., What Makes Good Data for Alignment?, arXiv 2312.15685).

    Evol score = complexity x quality, summed over the turns; highest first, a row is taken unless its cosine
    similarity to one taken before is over `tau` (0.9). `complexity_model` and `quality_model` name the released
    scorers (hkust-nlp/deita-complexity-scorer, hkust-nlp/deita-quality-scorer) or others: the expected grade 1..6
    under their next-token probabilities. Without them a stand-in is used, and the notes say so: quality is the raw
    rating plus 1, complexity the instruction's length in six equal shares of the pool (not in the paper).
    """
    names = str(settings["complexity_model"]), str(settings["quality_model"])
    notes = []
    if all(names):
        score = graded(pool, *names)
    else:
        score = stand_in(pool)
        notes = [
            "deita: its scorers were not used. A stand-in for them: quality is the raw rating plus 1, complexity "
            "the instruction's length in six equal shares of the pool"
        ]
    ranked = best_first(score, len(score), pool.config.seed)
    chosen = diverse(pool.vectors, ranked.index, n, float(settings["tau"]))
    if len(chosen) < n:
        notes.append(f"the diversity filter left {len(chosen):,} rows of {len(score):,}; raise tau for more")
    return Picked(chosen, score[chosen], notes + ranked.notes)


def stand_in(pool: Pool) -> Float64:
    """Rating-based scores, (N,): (raw rating + 1) x the instruction's length grade 1..6."""
    size = np.array([len(instruction_of(row)) for row in pool.listed], float)
    edges = np.quantile(size, np.arange(1, 6) / 6)
    return (pool.raw_score + 1) * (1 + np.searchsorted(edges, size, side="left"))


def graded(pool: Pool, complexity_model: str, quality_model: str) -> Float64:
    """Sum over turns of complexity x quality by the scorers' models, (N,)."""
    owner, questions, answers = [], [], []
    for number, row in enumerate(pool.listed):
        question = ""
        for message in row["messages"]:
            if message["role"] == "user":
                question = message["content"]
            elif message["role"] == "assistant":
                owner.append(number)
                questions.append(question)
                answers.append(message["content"])
    config = pool.config

    def grade(model: str, texts: list[str], desc: str) -> Float64:
        scorer = LocalChat(model, config.device, config.batch_size, str(config.cache_path()))
        return scorer.digit_expectations(texts, "", GRADES, desc)[:, 0]

    complexity = grade(complexity_model, [COMPLEXITY_FORM.format(instruction=q) for q in questions], "complexity")
    forms = [QUALITY_FORM.format(instruction=q, output=a) for q, a in zip(questions, answers, strict=True)]
    total = np.zeros(len(pool))
    np.add.at(total, owner, complexity * grade(quality_model, forms, "quality"))
    return total


def diverse(vectors: FloatMatrix, order: Ints, n: int, tau: float) -> Ints:
    """Rows in `order`, each taken unless its cosine similarity to one taken before is over `tau`; at most n."""
    taken: list[int] = []
    kept = np.empty((min(n, len(order)), vectors.shape[1]), np.float64)
    for row in order:
        if len(taken) == len(kept):
            break
        vector = fine(vectors[row])
        if not taken or float((kept[: len(taken)] @ vector).max()) <= tau:
            kept[len(taken)] = vector
            taken.append(int(row))
    return np.array(taken, dtype=np.int64)
