"""Correction of one pool by parts, against all at once: python benchmarks/correction_shards.py FILE --columns score

FILE as for `entp build`; of rows with the same embedding the first is used. T fitted on `--shard` random rows and
applied to all, whose neighbors vote as before: `fit_on_sample`, and the same with the number of levels given that all
rows support. And random shards of as many rows each corrected by itself, as a build from each would do: `shards`.
`t_apart`: mean L1 distance of the rows of T, where it has as many levels; `score_apart`: share of rows whose corrected
score is another one (`changed`: share that the correction of all changes); `expected_apart`: mean difference of
expected scores, 0..5.
"""

import argparse
import json

import numpy as np

from entp_hf import EntpConfig
from entp_hf.correction import posterior as bayes
from entp_hf.correction.correct import correct_ratings
from entp_hf.correction.local_prior import NUM_NEIGHBORS, lengths
from entp_hf.correction.task import CorrectedRatings
from entp_hf.embedding.embed import Embed
from entp_hf.embedding.neighbors import copies, nearest
from entp_hf.execution.tables import column, each, take
from entp_hf.io.reader import read_rows
from entp_hf.schema import instruction_of, response_of


def compared(whole: CorrectedRatings, found: CorrectedRatings, rows: np.ndarray) -> dict:
    """`found`, of `rows` of the pool, beside the correction of all."""
    one, other = (np.array(part.info["transition"]) for part in (whole, found))
    same = one.shape == other.shape
    return {
        "levels": found.info["levels"],
        "t_apart": round(float(np.abs(one - other).sum(axis=2).mean()), 4) if same else None,
        "score_apart": round(float((whole.score[rows] != found.score).mean()), 4),
        "expected_apart": round(float(np.nanmean(np.abs(whole.expected[rows] - found.expected))), 4),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--columns", default="score", help="rating columns, by comma")
    parser.add_argument("--shard", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    config = EntpConfig(raters=["column"], rating_columns=arguments.columns.split(","))
    pool, _ = read_rows(arguments.file, config)
    vectors = Embed.from_config(config).encode_rows(pool)
    distinct = np.unique(copies(vectors))
    pool, vectors = take(pool, distinct), vectors[distinct]
    ratings = np.array(column(pool, "ratings"), float)
    features = lengths(*(map(part, each(pool, "messages", "input")) for part in (instruction_of, response_of)))
    near = nearest(vectors, NUM_NEIGHBORS)
    order = np.random.default_rng(0).permutation(len(pool))
    shards = [np.sort(part) for part in np.array_split(order, max(1, len(pool) // arguments.shard))]
    whole = correct_ratings(ratings, vectors, features=features, neighbor_table=near)
    by_itself = [
        compared(whole, correct_ratings(ratings[rows], vectors[rows], features=features[rows]), rows)
        for rows in shards
    ]
    fit = bayes.fit
    on_sample, of_levels = [], []
    for rows in shards:
        bayes.fit = lambda task, settings, share, _, rows=rows: fit(task, settings, share, rows)
        for levels, results in ((0, on_sample), (whole.info["levels"], of_levels)):
            found = correct_ratings(ratings, vectors, features=features, neighbor_table=near, levels=levels)
            results.append(compared(whole, found, np.arange(len(pool))))
    result = {
        "rows": len(pool),
        "raters": ratings.shape[1],
        "shard": arguments.shard,
        "all": {"levels": whole.info["levels"], "changed": round(float(whole.changed.mean()), 4)},
        "fit_on_sample": on_sample,
        "fit_on_sample_levels_given": of_levels,
        "shards": by_itself,
    }
    print(json.dumps(result) if arguments.json else json.dumps(result, indent=1))
