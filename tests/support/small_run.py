"""One small run in a process of its own: python small_run.py support|minilm FOLDER; prints digests as JSON."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from datasets import Dataset

sys.path.insert(0, str(Path(__file__).parent))

import entp_hf  # noqa: E402

PLACES = ["the river", "a market", "the old bridge", "our school", "a quiet harbor", "the night train", "this garden"]
VERBS = ["describe", "compare", "summarize", "explain", "list the sights of", "plan a visit to", "write about"]
DETAILS = "morning light people stone water trade music bread weather color paths history birds noise smell".split()


def pool(rows: int) -> list[dict]:
    """Rows of a few topics with noisy ratings; some differ in one word from the row before."""
    draw = np.random.default_rng(5)
    made = []
    for number in range(rows):
        place, verb = draw.integers(0, len(PLACES)), draw.integers(0, len(VERBS))
        words = draw.choice(DETAILS, draw.integers(8, 30))
        if made and number % 9 == 0:
            words, (place, verb) = made[-1]["words"].copy(), made[-1]["topic"]
            words[-1] = "lantern"
        quality = (2 * place + verb) % 6  # rows of a topic are alike in quality
        made.append(
            {
                "topic": (place, verb),
                "words": words,
                "instruction": f"{VERBS[verb].capitalize()} {PLACES[place]} in {len(words)} words.",
                "output": f"{PLACES[place].capitalize()} has {', '.join(words[:-1])} and {words[-1]}.",
                "rating": float(np.clip(quality + draw.integers(-1, 2), 0, 5)),
            }
        )
    return [{k: row[k] for k in ("instruction", "output", "rating")} for row in made]


def vectors(texts: list[str]) -> np.ndarray:
    """Sums of a vector for each word: no product is in them, so they are alike under all kernels."""
    out = np.zeros((len(texts), 96))
    for at, text in enumerate(texts):
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
            out[at] += np.random.default_rng(seed).standard_normal(96)
    return out


def main(embedder: str, folder: str) -> None:
    config = entp_hf.EntpConfig(
        embedder="small_run:vectors" if embedder == "support" else entp_hf.EntpConfig().embedder,
        embedder_dtype="float32" if embedder == "support" else "float64",
        raters=["column"],
        rating_columns=["rating"],
        pool="quantile",
        pool_quantile=0.9,
        levels=3,  # so few rows don't tell the number
        fuser="mosaic",
        target_size=60 if embedder == "support" else 20,
        near_duplicate=0.99,
        semantic_duplicate=0.95,
        cache_dir=f"{folder}/cache",
        device="cpu",
    )
    rows = Dataset.from_list(pool(900 if embedder == "support" else 150))
    result = entp_hf.run(rows, config)
    result.save(f"{folder}/out")
    manifest = result.manifest
    seen = {
        "corrected": manifest["ratings"]["changed"] > 0,
        "semantic": manifest["purge"]["rules"]["semantic_duplicate"]["dropped"] > 0,
        "clusters": manifest["clusters"]["k"] > 1,
        "neighbors": manifest["correction"].get("neighbour_recall") == 1,
        "composed": sum(r["mosaic"] for r in manifest["fusion"]["rounds"]) > 0,
    }
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(f"{folder}/out").rglob("*.parquet"))
    }
    matrix = np.random.default_rng(0).standard_normal((300, 700)).astype(np.float32)
    product = hashlib.sha256((matrix @ matrix.T).tobytes()).hexdigest()
    counted = len(result.kept) + len(result.dropped)
    report = {"files": files, "seen": [k for k, v in seen.items() if v], "rows": counted, "product": product}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
