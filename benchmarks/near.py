"""Near-duplicates, ours beside semhash and datatrove's MinHash: python benchmarks/near.py --rows 10000 --json

Rows of repeated.py, a tenth of them planted copies with a few words replaced. A planted pair counts as a duplicate
where its exact Jaccard similarity of word 5-grams is at least 0.8; recall and precision are against these. The peers
run in an environment of their own, on the same texts:

    python -m venv peers && peers/bin/pip install semhash 'datatrove[processing]' spacy
    python benchmarks/near.py --peers peers/bin/python --json

semhash compares embeddings, which is another notion of alike; here it is given the vectors of `repeated.embed`, so
that no model is downloaded, and its own default threshold. Its seconds are without the embedding.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from repeated import embed, write

from entp_hf.config import EntpConfig
from entp_hf.execution.tables import as_dataset
from entp_hf.io.reader import read_rows
from entp_hf.purge import find_duplicates
from entp_hf.purge.duplicates.fingerprints import fingerprint
from entp_hf.purge.duplicates.minhash import shingles
from entp_hf.schema import new_row

NEAR = 0.8
PEERS = ("datatrove", "semhash")


def planted(rows: int, seed: int) -> tuple[Dataset, dict[int, int]]:
    """Distinct rows, then changed copies of a tenth of them; copy -> original."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write(rows - rows // 11, path, seed)
        plain = [row for row in read_rows(str(path), EntpConfig())[0] if not row["dropped_by"]]
    words = sorted({word for row in plain[:500] for word in row["messages"][-1]["content"].split()})
    source = rng.choice(len(plain), rows // 11, replace=False)
    copies = []
    for number in source:
        question, answer = (m["content"] for m in plain[number]["messages"][-2:])
        parts = answer.split(" ")
        for at in rng.integers(0, len(parts), int(rng.integers(1, 2 + len(parts) // 25))):
            parts[at] = words[rng.integers(len(words))]
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": " ".join(parts)}]
        copies.append(new_row(turns, input=plain[number]["input"]))
    pairs = {len(plain) + i: int(number) for i, number in enumerate(source)}
    return as_dataset([*plain, *copies]), pairs


def true_pairs(texts: list[str], pairs: dict[int, int]) -> set[int]:
    """Copies that are near-duplicates of their original by exact Jaccard similarity."""
    found = set()
    for copy, original in pairs.items():
        one, other = (set(grams.tolist()) for grams in shingles([texts[copy], texts[original]]))
        if len(one & other) >= NEAR * len(one | other):
            found.add(copy)
    return found


def judged(gone: list[int], pairs: dict[int, int], true: set[int]) -> dict[str, Any]:
    """Of a pair either row may go. Rows outside the planted pairs are real likenesses, and counted apart."""
    hit = {copy for copy, original in pairs.items() if {copy, original} & set(gone)}
    inside = set(pairs) | set(pairs.values())
    return {
        "dropped": len(gone),
        "recall": round(len(hit & true) / max(len(true), 1), 4),
        "precision": round(len(hit & true) / max(len(hit), 1), 4),
        "others": len([i for i in gone if i not in inside]),
    }


def ours(rows: Dataset) -> tuple[list[int], float]:
    begun = time.perf_counter()
    found = find_duplicates(rows, None, NEAR, 1.0, off=("exact_duplicate",))
    return sorted(found), time.perf_counter() - begun


def peer(python: str, name: str, texts: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        lines = [json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)]
        (Path(folder) / "texts.jsonl").write_text("".join(lines), encoding="utf-8")
        if name == "semhash":
            np.save(Path(folder) / "vectors.npy", embed(texts))
        script = Path(__file__).with_name("near_peer.py")
        done = subprocess.run([python, str(script), name, folder], capture_output=True, text=True)
    if done.returncode:  # a peer that can't run is named with its reason, not hidden
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", default="", metavar="PYTHON", help="interpreter of an environment with the peers")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    rows, pairs = planted(args.rows, args.seed)
    texts = [fingerprint(row).whole for row in rows]
    true = true_pairs(texts, pairs)
    gone, seconds = ours(rows)
    result: dict[str, Any] = {"rows": len(rows), "planted": len(pairs), "near": len(true)}
    result["entp"] = {
        **judged(gone, pairs, true),
        "seconds": round(seconds, 2),
        "rows_per_second": round(len(rows) / seconds),
    }
    for name in PEERS if args.peers else ():
        found = peer(args.peers, name, texts)
        if "failed" not in found:
            found |= judged(found.pop("gone"), pairs, true)
            found["rows_per_second"] = round(len(rows) / found["seconds"])
        result[name] = found
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
