"""Clusters fitted on a sample against clusters fitted on all rows: python benchmarks/cluster_sample.py [FILE] --json

FILE as for `entp build`, embedded by the default model; without it, planted clusters as in cluster.py. For each k:
`nmi` and `alike`, the share of rows in the cluster that is matched to their own, of our fit on `POINTS` rows a
centroid and the fit on all; `mean_cosine`, of the rows to their centroid, under both; and the same for two fits on all
rows with other seeds, which is what k-means itself is worth.
"""

import argparse
import json
import sys
import time
from importlib.metadata import version

import numpy as np
from cluster import points
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score

import entp_hf.embedding.clustering as ours
from entp_hf import EntpConfig
from entp_hf.embedding.clustering import Clusters, cluster
from entp_hf.embedding.embed import Embed
from entp_hf.io.reader import read_rows


def fitted(data: np.ndarray, k: int, most: int, seed: int) -> tuple[Clusters, float]:
    """Clusters fitted on at most `most` rows a centroid, and seconds."""
    ours.POINTS, begun = most, time.perf_counter()
    found = cluster(data, [k], seed=seed)
    print(f"k {k}, at most {most} rows a centroid: {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    return found, round(time.perf_counter() - begun, 2)


def compared(one: Clusters, other: Clusters) -> dict:
    table = np.zeros((one.k, other.k))
    np.add.at(table, (one.label, other.label), 1)
    matched = table[linear_sum_assignment(-table)].sum()
    return {
        "nmi": round(float(normalized_mutual_info_score(one.label, other.label)), 4),
        "alike": round(float(matched / len(one.label)), 4),
    }


def cosine(data: np.ndarray, found: Clusters) -> float:
    return round(float(np.mean([row @ found.centroid[c] for row, c in zip(data, found.label, strict=True)])), 4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", default="")
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--counts", default="25,50")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    data, kind = points(arguments.rows, 384, 50, 0)
    if arguments.file:
        config = EntpConfig(limit=arguments.rows)
        data = Embed.from_config(config).encode_rows(read_rows(arguments.file, config)[0])
    default, result = ours.POINTS, {"rows": len(data), "points": ours.POINTS, "fits": []}
    for k in map(int, arguments.counts.split(",")):
        some, seconds = fitted(data, k, default, 0)
        whole, longer = fitted(data, k, len(data), 0)
        again, _ = fitted(data, k, len(data), 1)
        result["fits"].append(
            {
                "k": k,
                "sampled": compared(some, whole),
                "other_seed": compared(again, whole),
                "mean_cosine": {"sampled": cosine(data, some), "all": cosine(data, whole)},
                "seconds": {"sampled": seconds, "all": longer},
            }
        )
        if not arguments.file:
            result["fits"][-1]["nmi_with_truth"] = [
                round(float(normalized_mutual_info_score(kind, found.label)), 4) for found in (some, whole)
            ]
    result["faiss"] = version("faiss-cpu")
    print(json.dumps(result) if arguments.json else json.dumps(result, indent=1))
