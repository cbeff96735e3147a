"""SVG primitives of the plots: texts, rectangles, lines, a legend, and the frame that names the picture.

Labels are escaped: they may come from strangers' data.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from importlib import resources

from markupsafe import Markup

from .formatting import squash

WIDTH = 360
COLORS = 6  # CSS classes c0..c5


def text(x: float, y: float, words: object, kind: str = "", anchor: str = "start") -> Markup:
    """A line of text; `kind` is its CSS class."""
    shape = Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}">{}</text>')
    return shape.format(x, y, kind, anchor, words)


def rect(x: float, y: float, width: float, height: float, kind: str, tip: object = "") -> Markup:
    """A rectangle; `tip` is what hovering shows."""
    body = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"').format(
        x, y, max(width, 0), max(height, 0), kind
    )
    return body + (Markup("><title>{}</title></rect>").format(tip) if tip else Markup("/>"))


def rule(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> Markup:
    """A straight line."""
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, kind)


def svg(height: float, body: Sequence[Markup], title: str, desc: str) -> Markup:
    """The picture's frame, with its name and its figures in words for those who can't see it."""
    key = hashlib.blake2b(f"{title}\x1f{desc}".encode("utf-8", "replace"), digest_size=4).hexdigest()
    head = Markup(
        '<svg class="plot" viewBox="0 0 {} {:.0f}" role="img" aria-labelledby="t{} d{}">'
        '<title id="t{}">{}</title><desc id="d{}">{}</desc>'
    )
    return head.format(WIDTH, height, key, key, key, title, key, desc) + Markup("").join(body) + Markup("</svg>")


def legend(names: Sequence[str]) -> tuple[list[Markup], int]:
    """Colour keys at the picture's top, up to three on a line, and the height that they take."""
    longest = max(map(len, names))
    columns = 3 if len(names) > 2 and longest <= 13 else 2 if longest <= 22 else 1
    marks: list[Markup] = []
    for i, name in enumerate(names):
        x, y = (i % columns) * WIDTH / columns, (i // columns) * 16
        marks += [rect(x, y + 2, 10, 10, f"c{i % COLORS}"), text(x + 15, y + 11, squash(name, 50), "key")]
    return marks, 16 * math.ceil(len(names) / columns)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers, about `count` steps apart, of which the first is at most `low` and the last at least `high`."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    base = 10 ** math.floor(math.log10(raw))
    step = next(base * m for m in (1, 2, 2.5, 5, 10) if base * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 12) for i in range(first, last + 1)]


def plot_style() -> tuple[str, str, str]:
    """(colours by day, colours by night, rules for the shapes) of the report's style sheet, for plots elsewhere."""
    style = resources.files("entp_hf.templates").joinpath("report.css").read_text(encoding="utf-8")
    day, night = re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    shapes = style[style.index("/* plots */") : style.index("/* browser of made rows */")]
    return day.replace("color-scheme: light dark;", "").strip(), night.strip(), shapes
