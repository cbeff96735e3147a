"""The gate as a classifier: what it accepts of good merges, and of the same with planted faults.

python benchmarks/gate.py --json

Its bounds were chosen on the first 400 good rows (`--half tuning`), and the check for contradictions also on those
after the 700th; the figures are of the 300 between them.
A row that the gate refuses ranks by how far it is under the bound: `auc` is over good and bad rows alike, every fault
with the same weight. `--fusions N` also lets SmolLM2 fuse N pairs, and counts what is accepted of its replies.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
from gate_cases import bad_rows, good_rows, response_of
from sklearn.metrics import roc_auc_score

from entp_hf.config import EntpConfig
from entp_hf.embedding.embed import Embed
from entp_hf.gate.gate import Gate, reason_kind
from entp_hf.io.reader import read_rows
from entp_hf.llm.factory import make_client
from entp_hf.mix.fusion import FUSERS, fused_row, fusion_request, read_fused
from entp_hf.mix.groups import Group
from entp_hf.purge.contamination.index import Contamination
from entp_hf.schema import text_of

TUNING = 400
DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


def read(name, config):
    return [row for row in read_rows(str(DATA / name), config)[0] if row["dropped_by"] is None]


def judged(gate, cases):
    """Verdicts on (row, parents); each row by itself, since the cases are variants of one another."""
    none = np.zeros((0, 1), np.float32)
    gate.embed.encode([text_of(row) for row, _ in cases])  # one pass of the encoder in place of many
    gate._by_sentence([row for row, _ in cases], [parents for _, parents in cases])
    return [gate.judge([row], [parents], none)[0][0] for row, parents in cases]


def fusions(good, number, config):
    """SmolLM2's own fusions of the good rows' parents: (row, parents) of what can be read, and how many can't."""
    groups = [Group(parents[0], tuple(parents[1:])) for _, parents in good[:number]]
    client = make_client(config)
    replies = client.chat([fusion_request(g, FUSERS["mergeit"], config, "", "", 0) for g in groups], "SmolLM2 fuses")
    read_ = [read_fused(reply)[0] for reply in replies]
    cases = [
        (fused_row(g, f, client.name, "mergeit", 1), list(g.rows))
        for g, f in zip(groups, read_, strict=True)
        if f is not None
    ]
    return cases, len(replies) - len(cases)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=int, default=300, help="good rows; each fault is planted in every one")
    parser.add_argument("--half", choices=("held-out", "tuning"), default="held-out")
    parser.add_argument("--fusions", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    begun = time.perf_counter()
    config = EntpConfig(max_new_tokens=192)
    embed = Embed.from_config(config)
    merged, pool = read("mergeit_6k.parquet", config), read("alpaca_rated_40k.parquet", config)
    vectors, pool_vectors = (embed.encode([text_of(r) for r in rows], "embed") for rows in (merged, pool))
    chinese = [response_of(row) for row in read("alpaca_zh_3k.parquet", config)]
    items = [json.loads(line) for line in (DATA / "benchmarks" / "gsm8k_test.jsonl").read_text().splitlines()]
    skip = TUNING if args.half == "held-out" else 0
    good = good_rows(merged, vectors, pool, pool_vectors, skip + args.good, np.random.default_rng(args.seed))
    half = good[skip : skip + args.good]
    bad = bad_rows(half, pool, pool_vectors, chinese, items, np.random.default_rng(args.seed + 1))
    unread = 0
    if args.fusions:
        bad["smollm2"], unread = fusions(half, args.fusions, config)
    gate = Gate.from_config(
        config,
        Contamination.from_files([str(DATA / "benchmarks" / "gsm8k_test.jsonl")], config.contamination_coverage),
    )
    verdicts = {name: judged(gate, cases) for name, cases in {"good": half, **bad}.items() if cases}
    share = {name: sum(not v.reason for v in found) / len(found) for name, found in verdicts.items()}
    if unread:
        share["smollm2"] *= len(bad["smollm2"]) / args.fusions  # what can't be read is refused
    ranked = [(v.figures["margin"], name == "good", 1 / len(found)) for name, found in verdicts.items() for v in found]
    margin, is_good, weight = zip(*ranked, strict=True)
    faults = [name for name in share if name != "good"]
    result = {
        "half": args.half,
        "good": len(half),
        "auc": round(roc_auc_score(is_good, margin, sample_weight=weight), 4),
        "accepted_good": round(share["good"], 4),
        "accepted_bad": round(float(np.mean([share[name] for name in faults])), 4),
        "accepted_by_fault": {name: round(share[name], 4) for name in faults},
        "cases": {name: len(found) for name, found in verdicts.items()},
        "fusions_not_readable": unread,
        "refused_good": dict(Counter(reason_kind(v.reason) for v in verdicts["good"] if v.reason).most_common()),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
