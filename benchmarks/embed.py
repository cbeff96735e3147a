"""Embedding speed, ours beside plain sentence-transformers: python benchmarks/embed.py --rows 2000 --json

The same rows (Alpaca where it lies beside the project, else the shipped pool) by `Embed.encode` without its cache and
by `SentenceTransformer.encode` with its defaults, each after a warm-up; by ours in bfloat16, too, where the processor
has it, and with other models (`--other`). `recall`: share of the 10 nearest rows by the plain embeddings that are
among the 10 nearest by ours. `cpu_seconds` counts all threads: it says more than `seconds` on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from repeated import COLUMNS, texts

from entp_hf.config import MINILM
from entp_hf.embedding.embed import Embed
from entp_hf.embedding.neighbors import nearest
from entp_hf.models.hardware import has_bfloat16
from entp_hf.models.loading import load_encoder, pick_device


def timed(rows: list[str], encode: Callable[[list[str]], Any]) -> tuple[np.ndarray, dict[str, Any]]:
    encode(rows[:64])
    begun, used = time.perf_counter(), time.process_time()
    vectors = np.asarray(encode(rows))
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    return vectors, {
        "seconds": round(seconds, 2),
        "rows_per_second": round(len(rows) / seconds, 1),
        "cpu_seconds": round(used, 2),
        "rows_per_cpu_second": round(len(rows) / used, 1),
    }


def recall(truth: np.ndarray, other: np.ndarray, k: int = 10) -> float:
    pairs = zip(nearest(truth, k).index, nearest(other, k).index, strict=True)
    return round(float(np.mean([len(np.intersect1d(a, b)) / k for a, b in pairs])), 4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--model", default=MINILM)
    parser.add_argument("--other", action="append", default=[], metavar="MODEL", help="another model, by ours")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    table = texts()
    some = table.take(np.linspace(0, len(table) - 1, min(args.rows, len(table))).astype(int)).to_pylist()
    rows = ["\n\n".join(row[name] for name in COLUMNS if row[name]) for row in some]
    encoder = load_encoder(args.model)
    plain, theirs = timed(rows, lambda part: encoder.encode(part, show_progress_bar=False))
    dtypes = ["float32"] + ["bfloat16"] * has_bfloat16(pick_device())
    embedders = {f"entp {dtype}": Embed(args.model, dtype=dtype) for dtype in dtypes}
    ours = {}
    for name, embedder in (embedders | {Path(other).name: Embed(other) for other in args.other}).items():
        found, mine = timed(rows, embedder.encode)
        faster = round(theirs["seconds"] / mine["seconds"], 2)
        ours[name] = mine | {"times_faster": faster, "recall": recall(plain, found)}
    result = {
        "rows": len(rows),
        "model": args.model,
        "sentence_transformers": theirs,
        "ours": ours,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "versions": {name: version(name) for name in ("torch", "transformers", "sentence-transformers")},
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))
