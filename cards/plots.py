"""Write a run's plots as self-contained SVG files for cards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..io.manifest import record_of
from ..reporting.formatting import clean
from ..reporting.sections.mix import clusters
from ..reporting.sections.overview import stages
from ..reporting.sections.purge import purge
from ..reporting.sections.ratings import correction, ratings
from ..reporting.svg import plot_style

# File name: what the picture shows, in words for those who can't see it.
PLOTS = {
    "rows.svg": "Rows after each stage",
    "ratings.svg": "Ratings before and after correction",
    "transition.svg": "How often the first rater gives each rating, by true score",
    "levels.svg": "Disagreement of two halves of the rows by the number of quality levels",
    "reliability.svg": "Confidence of the correction against trusted scores",
    "rules.svg": "What each purge rule did",
    "silhouette.svg": "Separation of the clusters by their number",
}


def card_plots(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The SVG text of each plot that the run has figures for, by the names in `PLOTS`."""
    record = record_of(manifest)
    corrected = correction(record) or {}
    maps = corrected.get("maps") or [(None, None)]
    found = {
        "rows.svg": (stages(record) or {}).get("funnel"),
        "ratings.svg": (ratings(record) or {}).get("plot"),
        "transition.svg": maps[0][1],
        "levels.svg": corrected.get("stability"),
        "reliability.svg": corrected.get("reliability"),
        "rules.svg": (purge(record) or {}).get("plot"),
        "silhouette.svg": (clusters(record) or {}).get("curve"),
    }
    return {name: alone(str(plot)) for name, plot in found.items() if plot}


def write_plots(manifest: Mapping[str, Any], folder: Path) -> list[str]:
    """Write the plots into `folder`, making it; their names."""
    found = card_plots(manifest)
    if found:
        folder.mkdir(exist_ok=True)
    for name, plot in found.items():
        (folder / name).write_text(plot, encoding="utf-8")
    return list(found)


def alone(plot: str) -> str:
    """A plot of a report as a file of its own, with its styles."""
    day, night, shapes = plot_style()
    colours = f":root {{ {day} }} @media (prefers-color-scheme: dark) {{ :root {{ {night} }} }}"
    sans = ".plot { font-family: sans-serif; } .plot > rect.page { fill: var(--card); }"
    head, rest = plot.split(">", 1)
    width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)[0])
    head = head.replace("viewBox=", f'width="{width * 1.5:.0f}" height="{height * 1.5:.0f}" viewBox=')
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"')
    head = re.sub(r'viewBox="[^"]+"', f'viewBox="-10 -10 {width + 20:g} {height + 20:g}"', head)
    page = f'<rect class="page" x="-10" y="-10" width="{width + 20:g}" height="{height + 20:g}"/>'
    alone: str = clean(f"{head}><style>{colours}{shapes}{sans}</style>{page}{rest}\n")
    return alone
