"""Correction of ratings whose truth is known, or of real ratings by three raters: errors, seconds, memory.

python benchmarks/correction.py --rows 50000 [--hard] [--dim 384] [--size 20] --json
python benchmarks/correction.py --ratings SCORES.parquet --json

Rows lie in clusters of one true score each; 10 neighbors or more are as clusterable as 2. Errors of T and p are L1
distances, of T the mean over its rows. With --ratings, every column of the file that begins with "score" is a rater,
no neighbors are needed, and no truth is known.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from synthetic import clusters, error, transition

from entp_hf.correction.calibration import reliability
from entp_hf.correction.correct import correct_ratings
from entp_hf.correction.local_prior import NUM_NEIGHBORS
from entp_hf.correction.task import CorrectedRatings
from entp_hf.embedding.neighbors import nearest


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: mean over rows of |share right - mean confidence| of their bin of ten."""
    bins = reliability(confidence, right)
    return sum(b["rows"] * abs(b["accuracy"] - b["confidence"]) for b in bins) / len(right)


def synthetic(args: argparse.Namespace) -> dict[str, Any]:
    ratings, truth, points = clusters(args.rows, args.size, args.hard, args.seed, args.dim)
    begun = time.perf_counter()
    near = nearest(points, NUM_NEIGHBORS)
    searched = time.perf_counter()
    found = correct_ratings(ratings, points, neighbor_table=near, levels=args.levels, seed=args.seed)
    done = time.perf_counter()
    info, known = found.info, found.posterior is not None and found.info["levels"] == 6
    right = found.posterior.argmax(axis=1) == truth if known else np.zeros(len(truth), bool)
    return {
        "rows": args.rows,
        "hard": args.hard,
        "t_error": round(error(info["transition"][0], transition(args.hard)), 4) if known else None,
        "p_error": round(float(np.abs(info["prior"] - shares(truth)).sum()), 4) if known else None,
        "fit_seconds": round(done - searched, 3),
        "neighbour_seconds": round(searched - begun, 3),
        "accuracy_raw": round(float((ratings == truth).mean()), 4),
        "accuracy_curated": round(float((found.score == truth).mean()), 4),
        "calibration_error": round(calibration_error(found.posterior.max(axis=1), right), 4) if known else None,
        "recall": near.recall,
        **common(found),
    }


def real(args: argparse.Namespace) -> dict[str, Any]:
    table = pq.read_table(args.ratings)
    names = [name for name in table.column_names if name.startswith("score")]
    ratings = np.column_stack([table[name].to_numpy() for name in names]).astype(float)
    begun = time.perf_counter()
    found = correct_ratings(ratings, levels=args.levels, seed=args.seed)
    seconds = round(time.perf_counter() - begun, 3)
    return {"rows": len(ratings), "raters": names, "seconds": seconds, **common(found)}


def common(found: CorrectedRatings) -> dict[str, Any]:
    return {
        "levels": found.info.get("levels"),
        "stability": found.info.get("stability"),
        "failed": found.info.get("failed"),
        "prior": found.info.get("prior"),
        "changed": round(float(found.changed.mean()), 4),
        "cpu_seconds": round(time.process_time(), 2),  # of the whole script, imports and data too
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def shares(truth: np.ndarray) -> np.ndarray:
    return np.bincount(truth, minlength=6) / len(truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--hard", action="store_true", help="a T that keeps 0.569 of the ratings, not 0.762")
    parser.add_argument("--dim", type=int, default=64, help="width of the embeddings")
    parser.add_argument("--size", type=int, default=20, help="rows in a cluster")
    parser.add_argument("--levels", type=int, default=0, help="latent levels; 0: as many as split halves agree on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ratings", help="Parquet file with a column of ratings for each rater")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    result = real(args) if args.ratings else synthetic(args)
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
