"""Machines, hours and money of a run over many rows: python benchmarks/plan_cluster.py --rows 100000000

What a CPU core does comes from benchmarks/results (see the column `source`). What your GPUs and servers do, and every
price, is yours to give: the defaults are examples, marked so, that nobody measured here. Prints a Markdown table;
--json gives the figures.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PROMPT = 260  # tokens of a rating or fusion prompt without its rows, as in entp_hf/plan.py
REPLY = 60  # tokens of a rating's reply
EXAMPLES = {  # flag: (default, what it is)
    "machines": (16, "CPU machines"),
    "cores": (64, "cores of each"),
    "cpu_price": (2.5, "price of a CPU machine, an hour"),
    "gpus": (16, "GPUs"),
    "gpu_price": (3.0, "price of a GPU, an hour"),
    "embed_rate": (5000.0, "rows a GPU embeds in a second"),
    "prompt_rate": (20000.0, "prompt tokens that a GPU's server reads in a second"),
    "reply_rate": (2000.0, "reply tokens that a GPU's server writes in a second"),
    "flops": (4e14, "FLOP/s that training gets out of a GPU"),
}


@dataclass(frozen=True)
class Line:
    work: str
    amount: str
    rate: str
    source: str
    hours: float
    cost: float


def measured(path: Path = RESULTS / "ray_purge.json") -> dict[str, float]:
    """Rows a second of one core: whole purge by file on Ray, from our own figures."""
    run = json.loads(path.read_text(encoding="utf-8"))["runs"][0]
    return {
        "purge": run["by_file"]["rows_per_second"] / run["workers"],
        "compare": run["by_file"]["compared_per_second"],
    }


def plan(given: Any, rates: dict[str, float]) -> list[Line]:
    """The steps of a run, one after the other; money for the machines of a step while it runs."""
    cores, rows = given.machines * given.cores, given.rows
    cpu, gpu = given.machines * given.cpu_price, given.gpus * given.gpu_price
    made = given.target / 2
    asked = made * given.attempts
    lines = []

    def add(work: str, amount: str, rate: str, source: str, seconds: float, price: float) -> None:
        lines.append(Line(work, amount, rate, source, seconds / 3600, seconds / 3600 * price))

    per_core = rates["purge"]
    add(
        "purge: rules, hashes, two passes",
        f"{rows:,.0f} rows",
        f"{per_core:,.0f} rows/s a core",
        "ray_purge.json",
        rows / per_core / cores,
        cpu,
    )
    add(
        "duplicates: compare hashes",
        f"{rows:,.0f} rows",
        f"{rates['compare']:,.0f} rows/s, one process",
        "ray_purge.json",
        rows / rates["compare"],
        given.cpu_price,
    )
    read = rows * given.raters * (given.tokens + PROMPT) / given.prompt_rate
    write = rows * given.raters * REPLY / given.reply_rate
    server = f"{given.prompt_rate:,.0f} + {given.reply_rate:,.0f} tokens/s a GPU"
    add("rate: LLM", f"{given.raters} x {rows:,.0f} rows", server, "example", (read + write) / given.gpus, gpu)
    add(
        "embed",
        f"{rows:,.0f} rows",
        f"{given.embed_rate:,.0f} rows/s a GPU",
        "example",
        rows / given.embed_rate / given.gpus,
        gpu,
    )
    read, write = asked * (PROMPT + 5 * given.tokens) / given.prompt_rate, asked * 2 * given.tokens / given.reply_rate
    add("fuse", f"{asked:,.0f} calls", "as for rating", "example", (read + write) / given.gpus, gpu)
    trained = given.target * given.tokens * given.epochs
    add(
        f"train {given.parameters / 1e9:g}B",
        f"{trained:,.0f} tokens",
        f"{given.flops:.0e} FLOP/s a GPU",
        "example",
        6 * given.parameters * trained / given.flops / given.gpus,
        gpu,
    )
    return lines


def as_markdown(lines: list[Line]) -> str:
    """The table, with a last line for all."""
    out = ["| work | amount | rate | source | hours | cost |", "|---|---|---|---|---:|---:|"]
    for line in lines:
        out.append(
            f"| {line.work} | {line.amount} | {line.rate} | {line.source} | {line.hours:.1f} | {line.cost:,.0f} |"
        )
    hours, cost = sum(line.hours for line in lines), sum(line.cost for line in lines)
    return "\n".join([*out, f"| all, one after the other | | | | {hours:.1f} | {cost:,.0f} |"])


def arguments(given: list[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e8)
    parser.add_argument("--tokens", type=float, default=250, help="tokens of a row")
    parser.add_argument("--raters", type=int, default=1, help="LLM raters; 0: ratings are in columns")
    parser.add_argument("--target", type=float, default=1e6, help="rows of the hybrid dataset, half of them made")
    parser.add_argument("--attempts", type=float, default=2, help="calls for each made row")
    parser.add_argument("--parameters", type=float, default=7e9, help="of the model that is trained")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--json", action="store_true")
    for flag, (default, text) in EXAMPLES.items():
        parser.add_argument(
            f"--{flag.replace('_', '-')}", type=type(default), default=default, help=f"{text} (example: {default:g})"
        )
    return parser.parse_args(given)


if __name__ == "__main__":
    asked = arguments()
    found = plan(asked, measured())
    print(json.dumps([vars(line) for line in found]) if asked.json else as_markdown(found))
