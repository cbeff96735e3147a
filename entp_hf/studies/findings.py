"""A study's paragraph, computed from its figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Lines = Sequence[dict[str, Any]]
MEASURES = ("novelsum", "vendi", "cluster_coverage", "knn_coverage", "answer_words", "defective")


def _name(line: dict[str, Any], keys: Sequence[str]) -> str:
    return " ".join(f"{line[key]}" if len(keys) == 1 else f"{key} {line[key]}" for key in keys)


def extremes(lines: Lines, keys: Sequence[str]) -> str:
    """For each measure the lines that have most and least of it, and by how much they differ."""
    told = []
    for measure in MEASURES:
        known = [line for line in lines if line.get(measure) is not None]
        if len(known) < 2:
            continue
        high, low = max(known, key=lambda x: x[measure]), min(known, key=lambda x: x[measure])
        if high[measure] == low[measure]:
            told.append(f"{measure} is {high[measure]:g} everywhere")
        else:
            told.append(f"{measure} runs from {low[measure]:g} ({_name(low, keys)}) to {high[measure]:g} "
                        f"({_name(high, keys)})")  # fmt: skip
    return ("; ".join(told) + ".").capitalize() if told else "No measure could be computed."


def purge_vs_neural(lines: Lines) -> str:
    """Defects left and diversity of each arm."""
    return "Of rules, fusion and both: " + extremes(lines, ["arm"])


def clusters_fusion(lines: Lines) -> str:
    """Diversity against depth over the grid."""
    known = [line for line in lines if line.get("novelsum") is not None]
    depth, width = ([line[name] for line in known] for name in ("answer_words", "novelsum"))
    told = extremes(lines, ["clusters", "fusion_ratio"])
    if len(known) > 2 and len(set(depth)) > 1 and len(set(width)) > 1:
        r = correlation(depth, width)
        sense = "a trade-off" if r < -0.5 else "no trade-off" if r > 0.5 else "neither a clear trade-off nor a gain"
        told += f" Over the grid, depth (answer_words) and diversity (novelsum) correlate at {r:+.2f}: {sense}."
    return told


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's."""
    import numpy as np

    return float(np.corrcoef(a, b)[0, 1])


def families(lines: Lines) -> str:
    """Which model's fusions the gate refuses least."""
    known = [line for line in lines if line.get("refused") is not None]
    if not known:
        return "No fusion was attempted."
    best = min(known, key=lambda line: line["refused"])
    return f"The gate refused fewest fusions of {best['model']} ({best['refused']:.0%}). " + extremes(lines, ["model"])


def convergence(lines: Lines) -> str:
    """How novelty falls from round to round, and why the run ended."""
    if not lines:
        return "No round was run: there was nothing to fuse."
    steps = [f"round {x['round']}: {x['groups']} groups, mean novelty {x['novelty']:.3f}" for x in lines]
    told = f"{len(lines)} rounds ({'; '.join(steps)}); the run ended by: {lines[-1]['stopped_by']}."
    if len(lines) > 1:
        change = lines[-1]["novelty"] - lines[0]["novelty"]
        told += f" Novelty {'fell' if change < 0 else 'rose'} by {abs(change):.3f} from the first to the last round."
    if all(not line["fused"] for line in lines):
        told += " All rows were composed without a model (mosaic), and compositions are not fused again, so these "
        told += "figures say nothing of how a fusing model converges."
    return told


def sensitivity(lines: Lines) -> str:
    """The settings that move each measure most, against the default."""
    default = next(line for line in lines if line["setting"] == "all")
    told = []
    for measure in ("rows", *MEASURES):
        start = default.get(measure)
        if not start:
            continue
        moved = [(abs(line[measure] - start) / abs(start), line) for line in lines if line.get(measure) is not None]
        most, line = max(moved, key=lambda pair: pair[0])
        told.append(
            f"{measure} ({start:g}) moves most by {line['setting']} = {line['value']}: to {line[measure]:g}"
            if most else f"{measure} ({start:g}) does not move"
        )  # fmt: skip
    still = sorted({line["setting"] for line in lines if line is not default and _same(line, default)})
    unmoved = [name for name in still if all(_same(x, default) for x in lines if x["setting"] == name)]
    tail = f" Without any effect here: {', '.join(unmoved)}." if unmoved else ""
    return ("; ".join(told) + "." + tail).strip()


def _same(line: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(line.get(name) == other.get(name) for name in ("rows", "made", *MEASURES))


def rules(lines: Lines) -> str:
    """The rules whose absence keeps most rows, and those whose absence changes nothing."""
    default = lines[0]
    gains = sorted(((line["kept"] - default["kept"], line["without"]) for line in lines[1:]), reverse=True)
    big = [f"{name} (+{gain})" for gain, name in gains[:5] if gain > 0]
    changed = {
        line["without"]
        for line in lines[1:]
        if any(line[name] != default[name] for name in ("kept", "repaired", "flagged"))
    }
    idle = [line["without"] for line in lines[1:] if line["without"] not in changed]
    told = f"All rules keep {default['kept']:,} rows and drop {default['dropped']:,}. "
    told += f"Leaving one out keeps most rows more for {', '.join(big)}. " if big else "No single rule decides a row. "
    told += f"{len(changed)} rules change something in this pool; {len(idle)} have nothing to do in it"
    return told + (f": {', '.join(idle)}." if idle else ".")
