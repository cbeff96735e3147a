"""Clustering over a grid of k, ours beside sklearn's KMeans: python benchmarks/cluster.py --rows 40000 --json

Points lie about seeded directions of different sizes, as embeddings of kinds of instructions do. Both try the same 12
values of k, with silhouettes of the same sample; sklearn as its users would write it, with its defaults. --ours leaves
it out.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from importlib.metadata import version
from typing import Any

import numpy as np

from entp_hf.embedding.clustering import cluster, default_grid

COUNTS = 12


def points(rows: int, width: int, kinds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, width) of unit length, and the kind of each; sizes fall as 1 / rank."""
    rng = np.random.default_rng(seed)
    size = 1 / np.arange(1, kinds + 1) ** 0.5
    kind = rng.choice(kinds, rows, p=size / size.sum())
    centre = rng.standard_normal((kinds, width)).astype(np.float32)
    data = centre[kind] + 1.5 * rng.standard_normal((rows, width)).astype(np.float32)
    return data / np.linalg.norm(data, axis=1, keepdims=True), kind


def grid(rows: int) -> list[int]:
    ends = default_grid(rows)
    return sorted({int(round(k)) for k in np.geomspace(ends[0], ends[-1], COUNTS)})


def ours(data: np.ndarray, counts: list[int], sample: int, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    begun = time.perf_counter()
    found = cluster(data, counts, sample, seed)
    seconds = time.perf_counter() - begun
    return found.label, {"seconds": round(seconds, 2), "k": found.k, "silhouette": round(found.silhouette, 4)}


def by_sklearn(data: np.ndarray, counts: list[int], sample: int, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    begun = time.perf_counter()
    best: tuple[float, int, np.ndarray] | None = None
    for k in counts:
        label = KMeans(k, random_state=seed).fit(data).labels_
        mean = float(silhouette_score(data, label, metric="cosine", sample_size=sample, random_state=seed))
        if best is None or mean > best[0]:
            best = mean, k, label
    assert best is not None
    seconds = time.perf_counter() - begun
    return best[2], {"seconds": round(seconds, 2), "k": best[1], "silhouette": round(best[0], 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--kinds", type=int, default=150, help="directions that the points lie about")
    parser.add_argument("--sample", type=int, default=5000, help="rows that silhouettes are computed on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ours", action="store_true", help="leave sklearn out")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    from sklearn.metrics import normalized_mutual_info_score

    data, kind = points(args.rows, args.dim, args.kinds, args.seed)
    counts = grid(args.rows)
    result: dict[str, Any] = {"rows": args.rows, "dim": args.dim, "counts": counts}
    for name, way in {"entp": ours, **({} if args.ours else {"sklearn": by_sklearn})}.items():
        label, figures = way(data, counts, args.sample, args.seed)
        result[name] = {
            **figures,
            "nmi": round(float(normalized_mutual_info_score(kind, label)), 4),
            "rows_per_second": round(args.rows * len(counts) / figures["seconds"]),
        }
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result["versions"] = {name: version(name) for name in ("numpy", "faiss-cpu", "scikit-learn")}
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
