"""The selectors that ENTP is compared with: each takes a pool and a number of rows, and says which rows to train on.

from entp_hf.baselines.registry import select

picked = select(Pool(rows, config), "ds2", 10_000)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from ..errors import ConfigError
from ..execution.stage import resolve
from . import deita, less, rds
from . import heuristics as simple
from . import perplexity as likelihood
from .base import Picked, Pool, Settings, best_first

__all__ = ["SELECTORS", "Method", "Picked", "Pool", "best_first", "select"]


@dataclass(frozen=True)
class Method:
    """A selector, what it needs beside the rows, and its settings with their defaults."""

    pick: Callable[[Pool, int, Settings], Picked]
    paper: str
    needs: str = ""
    settings: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def about(self) -> str:
        """The first line of its docstring."""
        return (self.pick.__doc__ or "").strip().split("\n")[0]


_LESS: dict[str, float | str] = {
    "warmup_share": 0.05, "epochs": 4, "learning_rate": 2e-5, "rank": 128, "alpha": 512, "dimensions": 8192,
    "max_length": 1024,
}  # fmt: skip
SELECTORS: dict[str, Method] = {
    "base": Method(simple.base, "-"),
    "full": Method(simple.full, "-"),
    "random": Method(simple.random, "-"),
    "length": Method(simple.length, "2402.04833"),
    "perplexity": Method(likelihood.perplexity, "2309.04564", "model", {"band": "middle", "max_length": 1024}),
    "knn": Method(simple.knn, "2410.10877", "embedder", {"k": 10}),
    "less": Method(less.less, "2402.04333", "model, target", _LESS),
    "alpagasus": Method(simple.alpagasus, "2307.08701", "ratings", {"threshold": 4.5}),
    "deita": Method(
        deita.deita,
        "2312.15685",
        "ratings or scorers, embedder",
        {"tau": 0.9, "complexity_model": "", "quality_model": ""},
    ),
    "ds2-raw": Method(simple.ds2_raw, "2410.10877", "ratings, embedder"),
    "ds2": Method(simple.ds2, "2410.10877", "ratings, embedder"),
    "ifd": Method(likelihood.ifd, "2308.12032", "model", {"max_length": 1024}),
    "rds": Method(rds.rds, "2503.01807", "model, target", {"max_length": 1024}),
}


def select(pool: Pool, method: str, n: int, settings: Settings | None = None) -> Picked:
    """The rows that `method` (a name of SELECTORS, or package.module:attr) takes, at most n, best first.

    Where there are fewer than n, the notes say so. Raises ConfigError for an unknown method or setting, or n < 1.
    """
    chosen = method_of(method)
    problems = [f"n: {n} is out of range; it must be at least 1"] if n < 1 else []
    values = dict(chosen.settings)
    for name, value in (settings or {}).items():
        if name not in values:
            problems.append(f"{name}: no setting of {method}; it has {', '.join(values) or 'none'}")
            continue
        try:
            values[name] = type(values[name])(value) if isinstance(values[name], str) else float(value)
        except ValueError:
            problems.append(f"{name}: {value!r} is not a number")
    if problems:
        raise ConfigError(problems)
    picked = chosen.pick(pool, n, values)
    if len(picked.index) < n and method not in ("base", "full"):
        note = f"{method} gave {len(picked.index):,} rows, {n:,} were asked for; the pool has {len(pool):,}"
        return replace(picked, notes=[*picked.notes, note])
    return picked


def method_of(name: str) -> Method:
    """The method of that name, or the function that a dotted path names; ConfigError with the known ones."""
    if name in SELECTORS:
        return SELECTORS[name]
    if ":" in name:
        return Method(resolve(name, "method", SELECTORS), "-")
    near = get_close_matches(name, list(SELECTORS), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError([f"method: no method is called {name!r}{hint} Known: {', '.join(SELECTORS)}"])
