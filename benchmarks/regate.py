"""What a run's fusion gave, and the gate asked again about every made row of its dataset.

entp build POOL.parquet -o OUT ...; python benchmarks/regate.py OUT --json

The gate is the one of the run's own configuration, by the code as it is now; `refused` must be empty for a run of the
same code. `tokens_per_second` are of the replies over the time of the rounds; null where the cache had any of them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from datasets import Dataset

from entp_hf.config import EntpConfig
from entp_hf.gate.gate import Gate, reason_kind
from entp_hf.purge.contamination.index import Contamination
from entp_hf.schema import GENERATED


def rows_in(path):
    return list(Dataset.from_parquet(str(path), keep_in_memory=True)) if path.exists() else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="that `entp build` made")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    manifest = json.loads((args.folder / "manifest.json").read_text(encoding="utf-8"))
    known = {name: value for name, value in manifest["config"].items() if name in EntpConfig.__dataclass_fields__}
    config = EntpConfig.from_dict(known)
    kept = rows_in(args.folder / "data" / "train.parquet")
    by_id = {row["id"]: row for row in (*kept, *rows_in(args.folder / "dropped" / "train.parquet"))}
    made = [row for row in kept if row["origin"] in GENERATED]
    gate = Gate.from_config(config, Contamination.from_config(config))
    parents = [[by_id[parent] for parent in row["parents"]] for row in made]
    fresh = [{**row, "findings": [], "gate": None} for row in made]
    clean = [[{**parent, "dropped_by": None} for parent in mine] for mine in parents]
    verdicts, _ = gate.judge(fresh, clean, np.zeros((0, 1), np.float32))
    rounds = manifest["fusion"]["rounds"]
    attempts, fused = (sum(r[key] for r in rounds) for key in ("attempts", "fused"))
    reasons = Counter()
    for entry in rounds:
        reasons.update(entry["reasons"])
    tokens, seconds = manifest["tokens"], sum(r["seconds"] for r in rounds)
    fresh_calls = not tokens["cached_calls"]
    result = {
        "model": Path(manifest["fusion"]["model"].split("@")[0]).name,
        "groups": sum(r["groups"] for r in rounds),
        "attempts": attempts,
        "fused": fused,
        "accepted_share": round(fused / attempts, 4) if attempts else None,
        "reasons": dict(reasons.most_common()),
        "calls": tokens["calls"],
        "cached_calls": tokens["cached_calls"],
        "prompt_tokens": tokens["prompt"],
        "reply_tokens": tokens["completion"],
        "tokens_per_second": round(tokens["completion"] / seconds, 2) if seconds and fresh_calls else None,
        "made_rows_judged_again": dict(Counter(row["origin"] for row in made)),
        "refused": dict(Counter(reason_kind(v.reason) for v in verdicts if v.reason)),
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
