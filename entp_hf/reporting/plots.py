"""Plots as inline SVG, from figures alone: no library, no request, colours by CSS class so that dark mode works.

Every plot is `role="img"` with a <title> (what it is) and a <desc> (its figures in words). All plots are 360 units
wide, so that a phone shows them at full size. Labels are escaped: they may come from strangers' data.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .formatting import num, share, squash
from .svg import COLORS, WIDTH, legend, rect, rule, svg, text, ticks

_ROW = 22


@dataclass(frozen=True)
class Point:
    """One mark of a scatter plot; `text` is what hovering shows."""

    x: float
    y: float
    color: int
    ringed: bool
    text: str


def bar(labels: Sequence[str], series: Mapping[str, Sequence[float]], title: str, tail: Sequence[str] = ()) -> Markup:
    """Horizontal bars, stacked where there are several series; the total, or `tail`, stands at each bar's end."""
    names = list(series)
    totals = [sum(series[name][i] for name in names) for i in range(len(labels))]
    body, top = legend(names) if len(names) > 1 else ([], 0)
    top += 6 if top else 0
    longest = max(map(len, labels), default=0)
    above = longest > 21  # long labels stand above their bars
    left, step = (0, 38) if above else (10 + 7 * longest, _ROW)
    room, most = WIDTH - left - 62, max([*totals, 0]) or 1
    for i, label in enumerate(labels):
        x, y = float(left), top + i * step + (step - _ROW)
        body.append(
            text(0, y - 1, squash(label, 52), "label") if above else text(left - 6, y + 15, label, "label", "end")
        )
        for j, name in enumerate(names):
            width = room * series[name][i] / most
            if width > 0:
                tip = f"{label}: {name} {num(series[name][i])}" if top else f"{label}: {num(series[name][i])}"
                body.append(rect(x, y + 4, max(width, 1), _ROW - 8, f"c{j % COLORS}", tip))
            x += width
        body.append(text(x + 5, y + 15, tail[i] if tail else num(totals[i]), "value"))
    words = [
        f"{label}: " + ", ".join(f"{name} {num(series[name][i])}" if top else num(series[name][i]) for name in names)
        for i, label in enumerate(labels)
    ]
    return svg(top + len(labels) * step + 4, body, title, "; ".join(words) + ".")


def grouped_bar(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    title: str,
    x_name: str = "",
    errors: Mapping[str, Sequence[float | None]] | None = None,
) -> Markup:
    """Upright bars side by side, one group per label; `errors` draws whiskers of one standard error."""
    names = list(series)
    body, top = legend(names) if len(names) > 1 else ([], 0)
    plot, left, bottom = 150, 44, top + 162
    marks = ticks(0, max([v for name in names for v in series[name]] + [0]) or 1)
    most = marks[-1]
    for mark in marks:
        y = bottom - plot * mark / most
        body += [rule(left, y, WIDTH, y), text(left - 5, y + 4, num(mark), "label", "end")]
    every = math.ceil(len(groups) * 9 * max(map(len, groups)) / (WIDTH - left)) if len(groups) > 12 else 1
    wide = (WIDTH - left) / max(len(groups), 1)
    thin = wide * 0.8 / max(len(names), 1)
    for i, group in enumerate(groups):
        start = left + wide * i + wide * 0.1
        if i % every == 0:
            label = squash(group, max(3, int(wide * every / 6)))
            body.append(text(left + wide * (i + 0.5), bottom + 15, label, "label", "middle"))
        for j, name in enumerate(names):
            value = series[name][i]
            high = plot * value / most
            x = start + thin * j
            body.append(rect(x, bottom - high, thin * 0.92, high, f"c{j % COLORS}", f"{name}, {group}: {num(value)}"))
            error = (errors or {}).get(name, [None] * len(groups))[i]
            if error:
                reach, middle = plot * error / most, x + thin * 0.46
                body.append(rule(middle, bottom - high - reach, middle, min(bottom, bottom - high + reach), "whisker"))
    body += [
        rule(left, bottom, WIDTH, bottom, "axis"),
        text(left + (WIDTH - left) / 2, bottom + 32, x_name, "label", "middle"),
    ]
    words = [
        f"{name}: " + ", ".join(f"{group} {num(series[name][i])}" for i, group in enumerate(groups)) for name in names
    ]
    return svg(bottom + (38 if x_name else 22), body, title, "; ".join(words) + ".")


@dataclass(frozen=True)
class HeatRow:
    """One row of a heat map: two lines of label, values 0..1, their standard errors, and whether it can be trusted."""

    label: str
    below: str
    values: Sequence[float]
    errors: Sequence[float | None]
    greyed: bool = False


def heat_map(rows: Sequence[HeatRow], columns: Sequence[str], title: str, x_name: str, y_name: str) -> Markup:
    """Cells shaded by value, with value and standard error written in; greyed rows are those not to be trusted."""
    left, top, high = 96, 36, 36
    wide = (WIDTH - left) / max(len(columns), 1)
    body = [text(left + (WIDTH - left) / 2, 12, x_name, "label", "middle"), text(0, 28, y_name, "label")]
    body += [text(left + wide * (j + 0.5), 28, name, "label", "middle") for j, name in enumerate(columns)]
    words = []
    for i, row in enumerate(rows):
        y = top + i * high
        body += [text(0, y + 16, row.label, "value"), text(0, y + 29, row.below, "small")]
        for j, value in enumerate(row.values):
            x, error = left + wide * j, row.errors[j] if j < len(row.errors) else None
            spread = f" ± {error:.2f}" if error is not None else ""
            tip = f"{row.label}, rated {columns[j]}: {value:.3f}{spread}"
            ink = "grey" if row.greyed else "over" if value > 0.68 else ""
            opacity = Markup('<g fill-opacity="{:.2f}">{}</g>')
            shade = max(0.04, min(1.0, value)) * (0.4 if row.greyed else 1)
            body.append(
                opacity.format(shade, rect(x + 1, y + 1, wide - 2, high - 2, "none" if row.greyed else "c0", tip))
            )
            body.append(text(x + wide / 2, y + 16, f"{value:.2f}", f"cell {ink}", "middle"))
            if error is not None:
                body.append(text(x + wide / 2, y + 28, f"±{error:.2f}", f"small {ink}", "middle"))
        marked = " (not identified)" if row.greyed else ""
        words.append(f"{row.label}{marked}: " + ", ".join(f"{v:.2f}" for v in row.values))
    return svg(top + len(rows) * high + 4, body, title, "; ".join(words) + ".")


def line(
    points: Sequence[tuple[float, float]], title: str, x_name: str, y_name: str, marked: float | None = None
) -> Markup:
    """A curve through (x, y); the point at x = `marked` is ringed and named."""
    points = sorted(points)
    left, top, right, bottom = 46, 24, WIDTH - 12, 170
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    marks = ticks(min([*ys, 0]), max([*ys, 0]) or 1)
    low, high = marks[0], marks[-1]
    x_span = (max(xs) - min(xs)) or 1

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - min(xs)) / x_span if len(points) > 1 else 0.5
        return left + 8 + (right - left - 16) * across, bottom - (bottom - top) * (y - low) / (high - low)

    body = [text(0, 11, y_name, "label"), text((left + right) / 2, bottom + 32, x_name, "label", "middle")]
    for mark in marks:
        y = place(xs[0], mark)[1]
        body += [rule(left, y, right, y), text(left - 5, y + 4, num(mark), "label", "end")]
    edge = -float(WIDTH)
    for x in xs:
        at, needed = place(x, low)[0], 4 + 7 * len(num(x))
        if at - edge >= needed or x == marked:
            body.append(text(at, bottom + 15, num(x), "label", "middle"))
            edge = at
    path = " ".join("{:.1f},{:.1f}".format(*place(*p)) for p in points)
    body.append(Markup('<polyline points="{}" class="stroke"/>').format(path))
    for x, y in points:
        where = place(x, y)
        chosen = marked is not None and x == marked
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"><title>{}: {}</title></circle>')
        body.append(dot.format(*where, 6 if chosen else 3.5, "c1 ring" if chosen else "c0", num(x), num(y)))
    chosen_words = f" Chosen: {num(marked)}." if marked is not None else ""
    desc = "; ".join(f"{x_name} {num(x)}: {num(y)}" for x, y in points) + "." + chosen_words
    return svg(bottom + 38, body, title, desc)


def reliability(points: Sequence[tuple[float, float, int]], title: str) -> Markup:
    """(mean confidence, share right, rows) of bins as dots, larger for more rows, beside the line where both agree."""
    left, top, right, bottom = 46, 24, WIDTH - 12, 214
    most = max(rows for _, _, rows in points)

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * x, bottom - (bottom - top) * y

    body = [
        text(0, 11, "share right", "label"),
        text((left + right) / 2, bottom + 32, "confidence", "label", "middle"),
    ]
    for mark in (0, 0.25, 0.5, 0.75, 1):
        x, y = place(mark, mark)
        body += [rule(left, y, right, y), text(left - 5, y + 4, num(mark), "label", "end")]
        body.append(text(x, bottom + 15, num(mark), "label", "middle"))
    body.append(rule(*place(0, 0), *place(1, 1), "axis"))
    for confidence, right_share, rows in points:
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" class="c0"><title>{}</title></circle>')
        tip = f"confidence {confidence:.2f}: {right_share:.2f} right, {num(rows)} rows"
        body.append(dot.format(*place(confidence, right_share), 3 + 7 * math.sqrt(rows / most), tip))
    words = [f"confidence {c:.2f}: {r:.2f} right of {num(rows)} rows" for c, r, rows in points]
    return svg(bottom + 38, body, title, "; ".join(words) + ".")


def scatter(points: Sequence[Point], title: str, desc: str) -> Markup:
    """A map of points without axes (only nearness has a meaning); ringed points are drawn last, on top."""
    side, margin = WIDTH, 10
    xs, ys = [p.x for p in points], [p.y for p in points]
    span_x, span_y = (max(xs) - min(xs)) or 1, (max(ys) - min(ys)) or 1
    body = [rect(0.5, 0.5, WIDTH - 1, side - 1, "frame")]
    dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"><title>{}</title></circle>')
    for point in sorted(points, key=lambda p: p.ringed):
        x = margin + (WIDTH - 2 * margin) * (point.x - min(xs)) / span_x
        y = side - margin - (side - 2 * margin) * (point.y - min(ys)) / span_y
        kind = f"c{point.color % COLORS}" + (" ring" if point.ringed else " dot")
        body.append(dot.format(x, y, 5 if point.ringed else 2.6, kind, point.text))
    return svg(side, body, title, desc)


def funnel(labels: Sequence[str], values: Sequence[float], title: str, apart: Collection[str] = ()) -> Markup:
    """Centred bars, one a stage, with the change from the stage before; not for `apart`, which are other rows."""
    left, room, most, high = 84, WIDTH - 84 - 104, max([*values, 0]) or 1, 28
    body: list[Markup] = []
    for i, (label, value) in enumerate(zip(labels, values, strict=True)):
        y, width = i * high, max(room * value / most, 1)
        body.append(text(0, y + 18, squash(label, 14), "label"))
        body.append(rect(left + (room - width) / 2, y + 4, width, high - 8, "c0", f"{label}: {num(value)} rows"))
        body.append(text(left + room + 8, y + 18, num(value), "value"))
        if i and values[i - 1] and value != values[i - 1] and label not in apart:
            sign = "−" if value < values[i - 1] else "+"
            change = sign + share(abs(value - values[i - 1]), values[i - 1])
            body.append(text(WIDTH, y + 18, change, "small", "end"))
    words = "; ".join(f"{label}: {num(value)} rows" for label, value in zip(labels, values, strict=True))
    return svg(high * len(labels) + 2, body, title, words + ".")
