"""Tables and plots of docs/scale.md from the JSON in results/scale: python benchmarks/render.py

Each file there is what one script printed by --json: end_to_end, cluster, near, embed, soak. The part of the page
between the marks is replaced; a script without a file is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from entp_hf.cards.plots import alone

from entp_hf.reporting.plots import line

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE, PLOTS = ROOT / "benchmarks" / "results" / "scale", ROOT / "docs" / "scale.md", ROOT / "docs" / "scale"
BEGIN, END = "<!-- figures: written by benchmarks/render.py -->\n", "<!-- end of figures -->"


def table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def end_to_end(found: dict[str, Any]) -> str:
    sizes = found["sizes"]
    names = list(sizes[0]["stages"])
    lines = [[s["rows"], s["seconds"], s["rows_per_second"], s["peak_mb"], s["own_mb"]] for s in sizes]
    stages = [[name, *(s["stages"].get(name, 0.0) for s in sizes)] for name in names]
    picture = plot_sizes(sizes)
    return (
        f"Exponents of growth: time {found['time_exponent']}, largest resident memory {found['memory_exponent']}, "
        f"memory that is not a file's {found['own_memory_exponent']}.\n\n"
        + table(["rows", "seconds", "rows/s", "peak MB", "own MB"], lines)
        + f"\n{picture}\n\nSeconds of each stage:\n\n"
        + table(["stage", *(f"{s['rows']:,} rows" for s in sizes)], stages)
    )


def plot_sizes(sizes: list[dict[str, Any]]) -> str:
    PLOTS.mkdir(exist_ok=True)
    shown = []
    for key, name in (("seconds", "seconds"), ("peak_mb", "peak memory, MB")):
        plot = line([(size["rows"] / 1000, size[key]) for size in sizes], f"{name} by rows", "thousand rows", name)
        (PLOTS / f"{key}.svg").write_text(alone(str(plot)), encoding="utf-8")
        shown.append(f"![{name} by rows](scale/{key}.svg)")
    return " ".join(shown)


def beside(found: dict[str, Any], ways: list[str], keys: list[str]) -> str:
    lines = []
    for way in (way for way in ways if way in found):
        figures = found[way]
        lines.append([way, *(figures.get(key, "") for key in keys)])
        if "failed" in figures:
            lines[-1][1] = f"did not run: {figures['failed']}"
    return table(["", *(key.replace("_", " ") for key in keys)], lines)


def cluster(found: dict[str, Any]) -> str:
    head = f"{len(found['counts'])} values of k over {found['rows']:,} x {found['dim']}:\n\n"
    return head + beside(found, ["entp", "sklearn"], ["seconds", "k", "silhouette", "nmi"])


def near(found: dict[str, Any]) -> str:
    head = f"{found['rows']:,} rows, {found['near']:,} planted pairs at a Jaccard similarity of 0.8 or more:\n\n"
    keys = ["seconds", "dropped", "recall", "precision", "others"]
    return head + beside(found, ["entp", "datatrove", "semhash"], keys)


def embed(found: dict[str, Any]) -> str:
    head = f"{found['rows']:,} rows by {found['model']}:\n\n"
    keys = ["seconds", "rows_per_second", "rows_per_cpu_second", "times_faster", "recall"]
    ways = {"sentence_transformers": found["sentence_transformers"], **found["ours"]}
    return head + beside(ways, list(ways), keys)


def soak(found: dict[str, Any]) -> str:
    keys = list(found["last"])
    lines = [[name, *(found[name][key] for key in keys)] for name in ("first", "fifth", "last")]
    return f"{found['runs']} runs in one process:\n\n" + table(["run", *keys], lines)


PARTS = {
    "end_to_end": ("A whole run, by size", end_to_end),
    "cluster": ("Clustering", cluster),
    "near": ("Near-duplicates", near),
    "embed": ("Embedding", embed),
    "soak": ("Many runs", soak),
}


def main() -> None:
    parts = []
    for name, (title, write) in PARTS.items():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            told = f"Conditions: {found['conditions']}\n\n" if "conditions" in found else ""
            parts.append(f"### {title}\n\n{told}{write(found)}")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(parts) + f"\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
