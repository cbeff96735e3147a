"""Held-out rater: correct one rater alone, then ask how well it agrees with the mean of the other two.

python benchmarks/correction_heldout.py --rows 8000 --json

There is no truth for real rows. What is corrected sees one rater's ratings, the embeddings and the texts' lengths;
every choice is made by the likelihood of that rater's own ratings. Spearman correlations, 95% bootstrap intervals.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import rankdata

from entp_hf.config import EntpConfig
from entp_hf.correction.correct import correct_ratings
from entp_hf.correction.local_prior import NUM_NEIGHBORS, lengths
from entp_hf.embedding.embed import Embed
from entp_hf.embedding.neighbors import copies, nearest_distinct
from entp_hf.io.reader import read_rows
from entp_hf.schema import instruction_of, response_of, text_of

DATA = Path(__file__).parents[1] / ".." / "shared" / "data" / "alpaca_rated_40k.parquet"
RATERS = ("score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3")
WIDTHS = (10, 20, 30)


def spearman(a, b):
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def intervals(named, target, times, rng):
    """95% intervals of the correlations of `named` with `target`, and of the gain of `corrected` over each other."""
    draws = {name: [] for name in named}
    for _ in range(times):
        pick = rng.integers(0, len(target), len(target))
        for name, values in named.items():
            draws[name].append(spearman(values[pick], target[pick]))
    spans = {name: np.round(np.percentile(found, [2.5, 97.5]), 4).tolist() for name, found in draws.items()}
    best = np.array(draws["corrected"])
    gains = {n: np.round(np.percentile(best - np.array(d), [2.5, 97.5]), 4).tolist() for n, d in draws.items()}
    gains.pop("corrected")
    return spans, gains


def one(column, ratings, vectors, features, near, args):
    own = ratings[:, column].astype(float)
    target = np.delete(ratings, column, axis=1).mean(axis=1)
    begun = time.perf_counter()
    full = correct_ratings(own, vectors, features=features, neighbor_table=near, seed=args.seed)
    seconds = time.perf_counter() - begun
    bare = correct_ratings(own, vectors, neighbor_table=near, seed=args.seed)
    index = near.index
    means = {k: own[index[:, :k]].mean(axis=1) for k in WIDTHS}
    smooth = max((own / 2 + means[k] / 2 for k in WIDTHS), key=lambda s: spearman(s, target))
    alone = max(means.values(), key=lambda s: spearman(s, target))
    vote = correct_ratings(own, vectors, neighbor_table=near, method="simifeat", seed=args.seed)
    mean = [correct_ratings(own, vectors, neighbor_table=near, damping=d, seed=args.seed) for d in (0.2, 0.5)]
    named = {
        "raw": own,
        "vote": vote.expected,
        "smoothed": smooth,
        "neighbors_alone": alone,
        "posterior_mean": max((m.expected for m in mean), key=lambda s: spearman(s, target)),
        "corrected_embeddings_only": bare.expected,
        "corrected": full.expected,
    }
    spans, gains = intervals(named, target, args.bootstrap, np.random.default_rng(args.seed))
    return {
        **{f"spearman_{key}": round(spearman(values, target), 4) for key, values in named.items()},
        "intervals": spans,
        "gain_over": gains,
        "levels": full.info["levels"],
        "surroundings": full.info["surroundings"],
        "agreement": full.info["agreement"],
        "changed": round(float(full.changed.mean()), 4),
        "failed": full.info["failed"],
        "vote_changed": round(float(vote.changed.mean()), 4),
        "seconds": round(seconds, 2),
    }


def pairs(ratings, vectors, features, near, seed):
    """Two raters predict the third: their mean, and their correction together."""
    out = {}
    for third, name in enumerate(RATERS):
        two = np.delete(ratings, third, axis=1).astype(float)
        both = correct_ratings(two, vectors, features=features, neighbor_table=near, seed=seed)
        out[name] = {
            "spearman_mean": round(spearman(two.mean(axis=1), ratings[:, third]), 4),
            "spearman_corrected": round(spearman(both.expected, ratings[:, third]), 4),
            "levels": both.info["levels"],
            "same_level": both.info["agreement"]["same_level"],
        }
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8000, help="a seeded sample of this many rows; 0: all 40,000")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    table = pq.read_table(DATA, columns=list(RATERS))
    ratings = np.column_stack([table[name].to_numpy() for name in RATERS]).astype(int)
    config = EntpConfig()
    rows, _ = read_rows(str(DATA), config)
    chosen = np.arange(len(ratings))
    if args.rows and args.rows < len(chosen):
        chosen = np.sort(np.random.default_rng(args.seed).choice(len(chosen), args.rows, replace=False))
    rows = rows.select(chosen)
    assert [row["source"].rsplit(":", 1)[1] for row in rows.select([0, 1])] == [str(i + 1) for i in chosen[:2]]
    ratings = ratings[chosen]
    vectors = Embed.from_config(config).encode([text_of(row) for row in rows], desc="" if args.json else "embed")
    features = lengths([instruction_of(row) for row in rows], [response_of(row) for row in rows])
    near = nearest_distinct(vectors, copies(vectors), NUM_NEIGHBORS)
    result = {
        "rows": len(rows),
        "raters": {name: one(i, ratings, vectors, features, near, args) for i, name in enumerate(RATERS)},
        "two_raters_predict_the_third": pairs(ratings, vectors, features, near, args.seed),
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
