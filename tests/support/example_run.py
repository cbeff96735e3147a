"""A made-up run for the tests of report and cards: a manifest with every key, and the two datasets that go with it."""

from __future__ import annotations

import json
import random
from typing import Any

from datasets import Dataset

from entp_hf.config import EntpConfig
from entp_hf.io.manifest import Manifest
from entp_hf.purge.accuracy import accuracy
from entp_hf.schema import FEATURES, USED_UP, DroppedBy, Finding, Origin, new_row

TOPICS = ("bread", "gravity", "verbs", "budgets", "bridges", "sorting", "tides", "poems")
RATERS = ("gpt-4o-mini", "llama-3.1-8b", "mistral-7b")
RULES = (
    "mojibake", "control_chars", "html_tags", "echo", "repetition", "boilerplate_tail", "truncated", "exact_duplicate",
    "refusal",
)  # fmt: skip


def _chat(instruction: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": instruction}, {"role": "assistant", "content": answer}]


def rows(made: int = 45, parents_each: int = 3, words: int = 40) -> tuple[Dataset, Dataset]:
    """(kept, dropped): `made` rows with their parents, which were used up and so lie in dropped, and a few others."""
    rng = random.Random(0)
    kept, dropped = [], []
    for i in range(made):
        topic = TOPICS[i % len(TOPICS)]
        origin = Origin.MOSAIC if i % 5 == 4 else Origin.FUSED
        parents = []
        for j in range(parents_each):
            body = " ".join(
                rng.choices(["the", "of", topic, "rises", "slowly", "and", "then", "holds", "value"], k=words)
            )
            finding = Finding("mojibake", "response", "repair", 1, 3, 9, 1.0, "2 sequences mended").as_dict()
            parents.append(
                new_row(
                    _chat(f"Tell me about {topic}, part {j} of case {i}.", f"About {topic}: {body}."),
                    source=f"pool.jsonl:{i * parents_each + j}",
                    ratings=[2.0, None, 3.0],
                    score=j % 4,
                    findings=[finding] if j == 0 else [],
                    dropped_by=USED_UP[origin],
                    cluster=i % len(TOPICS),
                    in_pool=True,
                    representative=j == 0,
                )
            )
        dropped += parents
        kept.append(
            new_row(
                _chat(
                    f"Explain {topic} in case {i}, with all {parents_each} parts.",
                    "\n\n".join(p["messages"][1]["content"] for p in parents),
                ),
                origin=origin,
                parents=[p["id"] for p in parents],
                round=1 + i % 2,
                model="" if origin == Origin.MOSAIC else "tiny",
                prompt_version="fuse-3f2a",
                gate=json.dumps({"similarity": 0.8123456, "coverage": 0.7, "ok": True}),
                score=4,
                cluster=i % len(TOPICS),
            )
        )
    kept += [
        new_row(_chat(f"What is {t}?", f"It is {t}."), source=f"pool.jsonl:{900 + i}", score=3)
        for i, t in enumerate(TOPICS)
    ]
    dropped.append(new_row(_chat("Hi", ""), dropped_by=DroppedBy.by_rule("empty_answer"), source="pool.jsonl:999"))
    return Dataset.from_list(kept, features=FEATURES), Dataset.from_list(dropped, features=FEATURES)


def manifest(**changes: Any) -> Manifest:
    """Every key of a run; `changes` replace top-level keys, None takes one out."""
    found = Manifest.start(EntpConfig(raters=["column"], rating_columns=list(RATERS)).to_dict())
    found.update(_before_fusion(), **_after_fusion(), created="2026-01-02T03:04:05+00:00", seconds=754.2)
    found.update(changes)
    return Manifest({key: value for key, value in found.items() if value is not None})


def _before_fusion() -> dict[str, Any]:
    rng = random.Random(1)
    return {
        "warnings": ["rule truncated flagged 31 % of the pool"],
        "input": {
            "files": [{"path": "pool.jsonl", "rows": 10_000, "form": "alpaca", "sha256": "ab" * 32}],
            "rows": 10_000,
            "marked": {"input:empty_response": 12},
        },
        "stages": [
            {"name": "read", "seconds": 0.8, "rows_in": 10_000, "rows_out": 10_000},
            {"name": "rate", "seconds": 12.4, "rows_in": 10_000, "rows_out": 9_988},
            {"name": "embed", "seconds": 95.0, "rows_in": 9_988, "rows_out": 9_988},
            {"name": "correct", "seconds": 1.31, "rows_in": 9_988, "rows_out": 9_988},
            {"name": "purge", "seconds": 41.7, "rows_in": 7_432, "rows_out": 6_911},
            {"name": "cluster", "seconds": 8.2, "rows_in": 6_911, "rows_out": 1_800},
            {"name": "mix", "seconds": 590.5, "rows_in": 6_911, "rows_out": 2_269},
        ],
        "ratings": {
            "names": list(RATERS),
            "unrated": [12, 40, 7],
            "changed": 2_417,
            "mean_confidence": 0.831,
            "raw": [
                [620, 1480, 2860, 2920, 1990, 118],
                [910, 1580, 1600, 3860, 1920, 90],
                [80, 1760, 2010, 3930, 2190, 23],
            ],
            "corrected": [310, 1310, 2610, 3202, 2410, 146],
        },
        "correction": {
            "method": "posterior",
            "basis": "raters",
            "levels": 3,
            "level_scores": [1.2, 2.8, 3.9],
            "prior": [0.31, 0.685, 0.005],
            "identified": [True, True, False],
            "transition": [
                [
                    [0.31, 0.33, 0.2, 0.1, 0.05, 0.01],
                    [0.02, 0.08, 0.24, 0.39, 0.25, 0.02],
                    [0.0, 0.1, 0.1, 0.1, 0.6, 0.1],
                ]
            ]
            * 2
            + [
                [
                    [0.04, 0.75, 0.1, 0.07, 0.03, 0.01],
                    [0.01, 0.05, 0.2, 0.5, 0.22, 0.02],
                    [0.0, 0.1, 0.1, 0.1, 0.6, 0.1],
                ]
            ],
            "transition_se": [[[0.012] * 6, [0.008] * 6, [0.21] * 6]] * 3,
            "stability": [
                {"levels": 2, "error": 0.021},
                {"levels": 3, "error": 0.094},
                {"levels": 4, "error": 0.41},
                {"levels": 5, "error": 0.63},
                {"levels": 6, "error": 0.98},
            ],
            "agreement": {"near": 0.412, "far": 0.335, "shuffled": 0.25, "chance": 0.251, "same_level": 0.77},
            "gold": {
                "rows": 120,
                "accuracy": 0.83,
                "mean_confidence": 0.88,
                "reliability": [
                    {"confidence": c, "accuracy": a, "rows": n} for c, a, n in ((0.55, 0.5, 20), (0.95, 0.9, 100))
                ],
            },
            "notes": ["The data support 3 distinct quality levels, not 6: more do not repeat on split halves."],
        },
        "pool": {"rows": 7_432, "rule": "score", "threshold": 3, "high_quality": 2_556},
        "purge": {
            "rows_in": 7_432,
            "rows_out": 6_911,
            "warnings": ["truncated: 31 % of the pool is flagged"],
            "rules": {
                rule: {"found": f, "repaired": r, "dropped": d, "flagged": f - r - d, "seconds": 0.4 + i}
                for i, (rule, f, r, d) in enumerate(
                    zip(
                        RULES,
                        (212, 95, 340, 120, 61, 804, 2304, 340, 0),
                        (212, 95, 340, 0, 12, 804, 0, 0, 0),
                        (0, 0, 0, 88, 30, 0, 0, 340, 0),
                        strict=True,
                    )
                )
            },
            "examples": {
                "mojibake": [
                    {
                        "id": "00ff00ff00ff00ff",
                        "before": "The cafÃ© isnâ€™t open on Sundays.",
                        "after": "The café isn’t open on Sundays.",
                        "detail": "2 sequences mended",
                    }
                ],
                "control_chars": [
                    {
                        "id": "11ff00ff00ff00ff",
                        "before": "bell\x07 and \u202ebidi",
                        "after": "bell and bidi",
                        "detail": "",
                    }
                ],
                "echo": [
                    {
                        "id": "22ff00ff00ff00ff",
                        "before": "Say it again.",
                        "after": None,
                        "detail": "answer is the prompt",
                    }
                ],
            },
        },
        "clusters": {
            "rows": 6_911,
            "k": 24,
            "silhouette": 0.142,
            "representatives": 1_800,
            "warnings": [],
            "curve": [
                {"k": k, "silhouette": s}
                for k, s in ((8, 0.081), (16, 0.118), (24, 0.142), (32, 0.139), (48, 0.127), (64, 0.11))
            ],
            "sizes": [rng.randint(60, 500) for _ in range(24)],
            "map": [
                {
                    "x": c % 6 * 3 + rng.gauss(0, 0.6),
                    "y": c // 6 * 3 + rng.gauss(0, 0.6),
                    "cluster": c,
                    "representative": i < 3,
                    "id": f"{c:08x}{i:08x}",
                    "text": f"{TOPICS[c % 8]} question {i}",
                }
                for c in range(24)
                for i in range(40)
            ],
        },
    }


def _after_fusion() -> dict[str, Any]:
    return {
        "fusion": {
            "fuser": "entp",
            "model": "tiny-chat",
            "stopped_by": "rounds (limit of 3)",
            "rounds": [
                {
                    "round": 1,
                    "groups": 1_800,
                    "fused": 1_402,
                    "mosaic": 371,
                    "passthrough": 27,
                    "attempts": 2_630,
                    "reasons": {"coverage": 610, "copy": 288, "json": 190},
                    "similarity": 0.812,
                    "novelty": 0.41,
                    "reject_rate": 0.467,
                    "prompt_tokens": 2_104_511,
                    "completion_tokens": 701_223,
                    "seconds": 430.0,
                },
                {
                    "round": 2,
                    "groups": 420,
                    "fused": 310,
                    "mosaic": 96,
                    "passthrough": 14,
                    "attempts": 700,
                    "reasons": {"coverage": 240, "near_duplicate": 90},
                    "similarity": 0.857,
                    "novelty": 0.22,
                    "reject_rate": 0.557,
                    "prompt_tokens": 700_100,
                    "completion_tokens": 190_050,
                    "seconds": 130.0,
                },
                {
                    "round": 3,
                    "groups": 90,
                    "fused": 41,
                    "mosaic": 49,
                    "passthrough": 0,
                    "attempts": 160,
                    "reasons": {"copy": 79},
                    "similarity": None,
                    "novelty": 0.04,
                    "reject_rate": 0.74,
                    "prompt_tokens": 160_000,
                    "completion_tokens": 41_000,
                    "seconds": 30.1,
                },
            ],
        },
        "dataset": {
            "rows": 4_690,
            "by_origin": {"fused": 1_753, "mosaic": 516, "passthrough": 41, "input": 2_380, "high_quality": 0},
            "dropped": 7_655,
            "preference": 1_753,
            "dropped_by": {
                DroppedBy.FUSED: 3_012,
                DroppedBy.MOSAIC: 1_008,
                DroppedBy.OVER_TARGET: 3_114,
                "purge:exact_duplicate": 340,
                "purge:echo": 88,
                "purge:empty_answer": 93,
            },
        },
        "diversity": {
            "rows": 900,
            "before": {"novelsum": 0.71, "vendi": 91.3, "knn_coverage": 0.93},
            "after": {"novelsum": 0.74, "vendi": 98.2, "knn_coverage": 0.91},
        },
        "contamination": {
            "items": 1_319,
            "coverage": 0.5,
            "rows": 4,
            "by_benchmark": {"gsm8k_test.jsonl": 4},
            "refused": 2,
        },
        "tokens": {"calls": 3_490, "cached_calls": 210, "prompt": 2_964_611, "completion": 932_273, "cost": 0.0},
        "train": {
            "rows": 512,
            "steps": 128,
            "loss_first": 2.314,
            "loss_last": 1.702,
            "seconds": 881.0,
            "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
            "adapter": "adapter",
        },
        "eval": {
            "before": {
                "mmlu": {"metric": "acc", "value": 0.251, "stderr": 0.011},
                "gsm8k": {"metric": "exact_match", "value": 0.012, "stderr": 0.004},
            },
            "after": {
                "mmlu": {"metric": "acc", "value": 0.258, "stderr": 0.011},
                "gsm8k": {"metric": "exact_match", "value": 0.041, "stderr": 0.006},
            },
        },
        "purge_accuracy": accuracy(
            [{"findings": [{"rule": rule} for rule in found]} for found in (["echo"], ["echo", "html_tags"], [])],
            [["echo"], ["echo"], ["html_tags"]],
        ),
    }
