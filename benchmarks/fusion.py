"""The gate on real fusions that were read and labelled: precision, recall, AUC, by kind of fault; two readers' kappa.

python benchmarks/fusion.py --labelled DIR --json [--model NAME] [--half held_out]

`DIR/fusions.jsonl` holds the rows with their texts, which stay out of the project (Alpaca is CC BY-NC);
`benchmarks/fusion_labels.jsonl` holds ids, labels and hashes of the replies, and `--check` says how many of DIR's rows
are the same. With `--model` the model is asked about each row. `--second FILE` has a second reader's labels.
`--yield FILE` counts a file of rows that were read: accepted, good, tokens and seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from entp_hf.config import EntpConfig
from entp_hf.gate.gate import Gate, reason_kind
from entp_hf.gate.labelled import judged, read_labelled

LABELS = Path(__file__).with_name("fusion_labels.jsonl")


def measured(rows, verdicts):
    """Precision and recall of what the gate accepts, AUC of its margin, and what it accepts of each kind of fault."""
    good = np.array([row["label"] == "good" for row in rows])
    accepted = np.array([not verdict.reason for verdict in verdicts])
    faults = sorted({fault for row in rows for fault in row["faults"]})
    having = {fault: np.array([fault in row["faults"] for row in rows]) for fault in faults}
    margin = [verdict.figures["margin"] for verdict in verdicts]
    return {
        "fusions": len(rows),
        "good": int(good.sum()),
        "accepted": int(accepted.sum()),
        "precision": round(float(good[accepted].mean()), 4) if accepted.any() else None,
        "recall": round(float(accepted[good].mean()), 4) if good.any() else None,
        "auc": round(float(roc_auc_score(good, margin)), 4) if 0 < good.sum() < len(good) else None,
        "by_fault": {
            fault: {"rows": int(has.sum()), "accepted": int(accepted[has].sum())} for fault, has in having.items()
        },
        "refused_good": dict(
            Counter(reason_kind(v.reason) for v, g in zip(verdicts, good, strict=True) if g and v.reason).most_common()
        ),
    }


def kappa(rows, second):
    """Cohen's kappa of good or bad between the labels and a second reader's, and on how many rows."""
    other = {one["id"]: one["good"] for one in map(json.loads, Path(second).read_text().splitlines())}
    both = [(row["label"] == "good", other[row["id"]]) for row in rows if row["id"] in other]
    one, two = zip(*both, strict=True)
    same = float(np.mean(np.array(one) == np.array(two)))
    return {"rows": len(both), "kappa": round(float(cohen_kappa_score(one, two)), 4), "same": round(same, 4)}


def checked(rows):
    """How many rows of the folder have the reply that was labelled, and how many labelled ones are not there."""
    known = {one["id"]: one["reply"] for one in map(json.loads, LABELS.read_text().splitlines())}
    same = sum(known.get(row["id"]) == row["reply"] for row in rows)
    return {"rows": len(rows), "as_labelled": same, "absent": len(set(known) - {row["id"] for row in rows})}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", required=True)
    parser.add_argument("--half", choices=("held_out", "build", "all"), default="held_out")
    parser.add_argument("--model", default="", help="also ask this model about each row")
    parser.add_argument("--score", default="", help="score.json; empty: the shipped one")
    parser.add_argument("--second", default="", help="labels of a second reader")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    begun = time.perf_counter()
    every = read_labelled(args.labelled)
    rows = [row for row in every if args.half in ("all", row["half"])]
    config = EntpConfig(gate_ask=bool(args.model), judge_model=args.model, gate_score_file=args.score)
    verdicts = judged(Gate.from_config(config, asks=bool(args.model)), rows)
    parts = {
        name: [i for i, row in enumerate(rows) if (len(row["parents"]) > 1) == several]
        for name, several in (("fused", True), ("cured", False))
    }
    result = {
        "half": args.half,
        "asked": args.model,
        **measured(rows, verdicts),
        "of": {name: measured([rows[i] for i in at], [verdicts[i] for i in at]) for name, at in parts.items() if at},
        "by_kind": dict(Counter(f"{row['kind']} {row['label']}" for row in rows)),
    }
    result |= {"kappa": kappa(every, args.second)} if args.second else {}
    result |= {"check": checked(every)} if args.check else {}
    result["seconds"] = round(time.perf_counter() - begun, 1)
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
