"""A study's paragraph, computed from its figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .measurements import RUNS, Lines

ONE_SEED = " One seed was run, so it is not known which of these differences another would undo."
MEASURES = ("novelsum", "vendi", "cluster_coverage", "knn_coverage", "answer_words", "defective")
COMPOSED = " Rows were composed without a model here (mosaic), so this says nothing of a fusing model."


def _name(line: dict[str, Any], keys: Sequence[str]) -> str:
    return " ".join(f"{line[key]}" if len(keys) == 1 else f"{key} {line[key]}" for key in keys)


def apart(a: dict[str, Any], b: dict[str, Any], measure: str) -> bool | None:
    """Whether two lines differ by more than twice the spread of one run's difference; None with one seed.

    The same seed draws the same sample for both, so the spread is that of the seeds' differences. Cautious: it is the
    standard deviation of single runs, not of their mean.
    """
    runs = a.get(measure + RUNS, []), b.get(measure + RUNS, [])
    if len(runs[0]) < 2 or len(runs[0]) != len(runs[1]):
        return None
    change = np.subtract(*runs)
    return bool(abs(change.mean()) > 2 * change.std(ddof=1))


def _surely(a: dict[str, Any], b: dict[str, Any], measure: str) -> str:
    """What is to be added to a difference that another seed might undo."""
    return ", within what the seed changes" if apart(a, b, measure) is False else ""


def extremes(lines: Lines, keys: Sequence[str]) -> str:
    """For each measure the lines that have most and least of it, and whether another seed might undo it."""
    finding = []
    for measure in MEASURES:
        known = [line for line in lines if line.get(measure) is not None]
        if len(known) < 2:
            continue
        high, low = max(known, key=lambda x: x[measure]), min(known, key=lambda x: x[measure])
        if high[measure] == low[measure]:
            finding.append(f"{measure} is {high[measure]:g} everywhere")
        else:
            why = f", there by {high['defects']}" if measure == "defective" and high.get("defects") else ""
            finding.append(
                f"{measure} runs from {low[measure]:.4g} ({_name(low, keys)}) to {high[measure]:.4g} "
                f"({_name(high, keys)}{why}){_surely(low, high, measure)}"
            )
    if not finding:
        return "No measure could be computed."
    return "; ".join(finding) + "." + provisos(lines)


def provisos(lines: Lines) -> str:
    """What a reader has to know of the runs: one seed only, no model."""
    composed = any(line.get("made") for line in lines) and all(line.get("refused") is None for line in lines)
    seeded = any(name + RUNS in lines[0] for name in MEASURES)
    return ("" if seeded else ONE_SEED) + (COMPOSED if composed else "")


def purge_vs_neural(lines: Lines) -> str:
    """Defects left and diversity of each arm."""
    finding = "Of neither, rules, fusion and both: " + extremes(lines, ["arm"])
    sizes = {line["rows"] for line in lines}
    if len(sizes) > 1:
        finding += " The arms differ in rows, with which vendi and knn_coverage grow."
    return finding


def clusters_fusion(lines: Lines) -> str:
    """Diversity against depth over the grid."""
    known = [line for line in lines if line.get("novelsum") is not None]
    depth, width = ([line[name] for line in known] for name in ("answer_words", "novelsum"))
    finding = "Over the grid, " + extremes(lines, ["clusters", "fusion_ratio"])
    if len(known) > 2 and len(set(depth)) > 1 and len(set(width)) > 1:
        r = correlation(depth, width)
        sense = "a trade-off" if r < -0.5 else "no trade-off" if r > 0.5 else "neither a clear trade-off nor a gain"
        finding += f" Depth (answer_words) and diversity (novelsum) correlate at {r:+.2f} over it: {sense}."
    return finding


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's."""
    return float(np.corrcoef(a, b)[0, 1])


def families(lines: Lines) -> str:
    """Which model's fusions the gate refuses least."""
    known = [line for line in lines if line.get("refused") is not None]
    if not known:
        return "No fusion was attempted."
    best = min(known, key=lambda line: line["refused"])
    return f"The gate refused fewest fusions of {best['model']} ({best['refused']:.0%}). " + extremes(lines, ["model"])


def _given(novelty: float | None) -> str:
    return "none" if novelty is None else f"{novelty:.3f}"


def convergence(lines: Lines) -> str:
    """How novelty falls from round to round, and why the run ended."""
    if not lines:
        return "No round was run: there was nothing to fuse."
    steps = [f"round {x['round']}: {x['groups']:.4g} groups, mean novelty {_given(x['novelty'])}" for x in lines]
    ended = " / ".join(dict.fromkeys(line["stopped_by"] for line in lines if line["stopped_by"]))
    finding = f"{len(lines)} rounds ({'; '.join(steps)}); the run ended by: {ended}."
    runs = max(line.get("seeds", 1) for line in lines)  # a round may have made nothing, or not be there in all seeds
    known = [line for line in lines if line["novelty"] is not None and line.get("seeds", 1) == runs]
    if len(known) > 1:
        change = known[-1]["novelty"] - known[0]["novelty"]
        which = "the last round" if known[-1] is lines[-1] else f"round {known[-1]['round']}, the last of all seeds"
        finding += f" Novelty {'fell' if change < 0 else 'rose'} by {abs(change):.3f} from the first to {which}"
        finding += f"{_surely(known[0], known[-1], 'novelty')}."
    if all(not line["fused"] for line in lines):
        finding += " All rows were composed without a model (mosaic), and compositions are not fused again, so these "
        finding += "figures say nothing of how a fusing model converges."
    return finding


def sensitivity(lines: Lines) -> str:
    """The settings that move each measure most, against the default."""
    default = next(line for line in lines if line["setting"] == "all")
    finding = []
    for measure in ("rows", *MEASURES):
        start = default.get(measure)
        if not start:
            continue
        moved = [(abs(line[measure] - start) / abs(start), line) for line in lines if line.get(measure) is not None]
        most, line = max(moved, key=lambda pair: pair[0])
        finding.append(
            f"{measure} ({start:g}) moves most by {line['setting']} = {line['value']}: to {line[measure]:g}"
            f"{_surely(default, line, measure)}"
            if most
            else f"{measure} ({start:g}) does not move"
        )
    still = sorted({line["setting"] for line in lines if line is not default and _same(line, default)})
    unmoved = [name for name in still if all(_same(x, default) for x in lines if x["setting"] == name)]
    tail = f" Without any effect here: {', '.join(unmoved)}." if unmoved else ""
    return "; ".join(finding) + "." + tail + provisos(lines)


def _same(line: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(line.get(name) == other.get(name) for name in ("rows", "made", *MEASURES))


def rules(lines: Lines) -> str:
    """The rules whose absence keeps most rows, and those whose absence changes nothing."""
    default, others = lines[0], lines[1:]
    finding = f"All rules keep {default['kept']:,g} rows and drop {default['dropped']:,g}. "
    words = {
        "rows_saved": "Rows more if one rule is left out",
        "repairs_lost": "Repairs less",
        "flags_lost": "Flags less",
    }
    for measure, start in words.items():
        most = sorted((line for line in others if line[measure] > 0), key=lambda line: -line[measure])[:5]
        if most:
            finding += f"{start}: " + ", ".join(f"{line['without']} ({line[measure]:g})" for line in most) + ". "
    idle = [line["without"] for line in others if not any(line[measure] for measure in words)]
    finding += f"{len(others) - len(idle)} rules change something in this pool; {len(idle)} have nothing to do in it "
    finding += "that no other rule does" if idle else ""
    return finding.strip() + (f": {', '.join(idle)}." if idle else ".")
