"""Rows that the gate should take, and the same rows with one planted fault each, for `gate.py`.

Good: rows that a strong LLM merged from Alpaca rows (MergeIT, arXiv 2503.00034). Their parents are not published; the
likely ones are the pair of Alpaca rows whose mean embedding is nearest. A quarter of Alpaca is not in our sample, so
only rows that a pair explains well are taken. The gate's own measures have no part in that choice.
"""

from __future__ import annotations

import re

import numpy as np

from entp_hf.schema import new_row, response_of, text_of

PAIR, EACH = 0.85, 0.65  # least cosine of a merged row to the mean of its parents, and to each of them
NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?![\w])(?!\.\s)")  # no list numbers
NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}\b")  # capitalised inside a sentence
SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")


def made(question, answer, parents):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return new_row(turns, origin="fused", parents=[row["id"] for row in parents])


def question_of(row):
    return next(m["content"] for m in row["messages"] if m["role"] == "user")


def find_parents(vector, pool):
    """The pair of rows (numbers) whose mean is nearest to `vector` (d,), with its cosine; `pool` is (n, d)."""
    near = pool @ vector
    top = np.argsort(-near, kind="stable")[:30]
    between = pool[top] @ pool[top].T
    pair = (near[top][:, None] + near[top][None]) / np.sqrt(2 + 2 * between)
    pair[between > 0.95] = -1  # the same row twice
    a, b = np.unravel_index(int(pair.argmax()), pair.shape)
    return sorted((int(top[a]), int(top[b])), key=lambda i: -near[i]), float(pair[a, b]), float(min(near[top[[a, b]]]))


def good_rows(merged, vectors, pool, pool_vectors, number, rng):
    """[(made row, parents)] of `number` merged rows that are no plain Alpaca rows, at random."""
    known = {text_of(row) for row in pool}
    found = []
    for i in rng.permutation(len(merged)):
        if text_of(merged[i]) in known:
            continue
        parents, cosine, least = find_parents(vectors[i], pool_vectors)
        if cosine >= PAIR and least >= EACH:
            rows = [pool[j] for j in parents]
            found.append((made(question_of(merged[i]), response_of(merged[i]), rows), rows))
        if len(found) == number:
            break
    return found


def another_answer(row, parents, rng, other):
    return made(question_of(row), response_of(other[0]), parents), parents


def parents_swapped(row, parents, rng, other):
    return made(question_of(row), response_of(row), other[1]), other[1]


def changed(row, parents, rng, other):
    """A number or name of the answer that a parent has too, changed wherever the answer says it."""
    answer, told = response_of(row), "\n".join(text_of(parent) for parent in parents)
    spots = [m[0] for m in NUMBER.finditer(answer) if re.search(rf"(?<![\w.,]){re.escape(m[0])}(?![\w])", told)]
    names = [m[0] for m in NAME.finditer(answer) if re.search(rf"\b{m[0]}\b", told)]
    if not spots and not names:
        return None
    old = str(rng.choice(sorted(set(spots or names))))
    if spots:
        new = "".join(str(rng.integers(1, 10)) if c.isdigit() else c for c in old)
        new = new if new != old else new.replace(old[0], str(int(old[0]) % 9 + 1), 1)
        return made(question_of(row), re.sub(rf"(?<![\w.,]){re.escape(old)}(?![\w])", new, answer), parents), parents
    others = sorted({m[0] for m in NAME.finditer(response_of(other[0]))} - set(names)) or ["Kowalski"]
    return made(question_of(row), re.sub(rf"\b{old}\b", str(rng.choice(others)), answer), parents), parents


def cut_off(row, parents, rng, other):
    answer = response_of(row)
    return made(question_of(row), answer[: len(answer) // 2], parents), parents


def parent_left_out(row, parents, rng, other):
    """A third parent, of another subject within the same cluster's reach, that nothing of was taken in."""
    return made(question_of(row), response_of(row), [*parents, other[2]]), [*parents, other[2]]


def parent_copied(row, parents, rng, other):
    return made(question_of(row), response_of(parents[int(rng.integers(len(parents)))]), parents), parents


def padded(row, parents, rng, other):
    """The answer, and another row's answer of at least three sentences after it."""
    return made(question_of(row), f"{response_of(row)} {response_of(other[3])}", parents), parents


def other_language(row, parents, rng, other):
    return made(question_of(row), other[4], parents), parents


def benchmark_item(row, parents, rng, other):
    item = other[5]
    answer = f"{response_of(row)}\n\n{item['question']}\n{item['answer']}"
    return made(question_of(row), answer, parents), parents


FAULTS = {
    f.__name__: f
    for f in (
        another_answer,
        parents_swapped,
        changed,
        cut_off,
        parent_left_out,
        parent_copied,
        padded,
        other_language,
        benchmark_item,
    )
}


def bad_rows(good, pool, pool_vectors, chinese, items, rng):
    """{fault: [(made row, parents)]}: every good row with every fault that it can have."""
    at = {row["id"]: i for i, row in enumerate(pool)}
    long = [pair for pair in good if len(SENTENCE.split(response_of(pair[0]))) >= 3]
    out = {name: [] for name in FAULTS}
    for k, (row, parents) in enumerate(good):
        j = int(rng.choice([n for n in range(len(good)) if n != k and good[n][1] != parents]))
        near = pool_vectors @ pool_vectors[at[parents[0]["id"]]]
        third = pool[int(rng.choice(np.flatnonzero((near > 0.35) & (near < 0.55))))]
        pad = long[int(rng.integers(len(long)))][0]
        pad = pad if pad["id"] != row["id"] else good[j][0]
        other = (*good[j], third, pad, str(rng.choice(chinese)), items[int(rng.integers(len(items)))])
        for name, plant in FAULTS.items():
            case = plant(row, parents, rng, other)
            if case is not None:
                out[name].append(case)
    return out
