"""Rows of a finished run for the pages: lineage, repairs, search and paging."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from ...execution.tables import column
from ...io.formats import normalise
from ...io.manifest import Manifest
from ...io.parquet import read_written
from ...reporting.formatting import squash
from ...schema import GENERATED, USED_UP, Origin, origin_label, text_of
from ...text.overlap import coverage

PAGE = 10  # rows of a page
Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """What `Result.write` wrote, read again. Rows are read one by one: a page shows few."""

    manifest: Manifest
    kept: Dataset
    dropped: Dataset

    @functools.cached_property
    def texts(self) -> dict[str, list[str]]:
        """Every row's text in lower case, of the dataset and of what was left out: what a search looks at."""
        return {
            name: [text_of(row).lower() for row in rows.select_columns(["messages"])]
            for name, rows in (("kept", self.kept), ("dropped", self.dropped))
        }

    @functools.cached_property
    def where(self) -> dict[str, tuple[str, int]]:
        """Where each row lies, by its id."""
        found = {key: ("dropped", i) for i, key in enumerate(column(self.dropped, "id"))}
        return found | {key: ("kept", i) for i, key in enumerate(column(self.kept, "id"))}

    @functools.cached_property
    def kinds(self) -> dict[str, list[str]]:
        """Origin of each row of the dataset, reason of each row left out."""
        return {"kept": column(self.kept, "origin"), "dropped": column(self.dropped, "dropped_by")}

    @functools.cached_property
    def mended(self) -> list[tuple[str, int]]:
        """Rows that a rule has repaired."""
        found = []
        for name, rows in (("kept", self.kept), ("dropped", self.dropped)):
            for i, findings in enumerate(column(rows, "findings")):
                if any(f["action"] == "repair" for f in findings or []):
                    found.append((name, i))
        return [place for place in found if _row(self._part(place[0]), place[1])["original"]]

    def _part(self, name: str) -> Dataset:
        return self.kept if name == "kept" else self.dropped

    def at(self, place: tuple[str, int]) -> Row:
        """The row there."""
        return _row(self._part(place[0]), place[1])

    def get(self, key: str) -> Row | None:
        """The row of that id."""
        return self.at(self.where[key]) if key in self.where else None

    def filters(self, name: str) -> list[tuple[str, str]]:
        """(label with count, kind) of a part's rows."""
        counts = Counter(self.kinds[name])
        return [(f"{origin_label(kind)} ({count:,})", kind) for kind, count in counts.most_common()]

    def find(self, name: str, kind: str, words: str) -> list[tuple[str, int]]:
        """Rows of a part that are of the kind ("" any; "made") and hold all of the words."""
        wanted = words.lower().split()[:20]
        found = []
        for i, (text, its) in enumerate(zip(self.texts[name], self.kinds[name], strict=True)):
            fits = not kind or its == kind or (kind == "made" and its in GENERATED)
            if fits and all(word in text for word in wanted):
                found.append((name, i))
        return found

    def repairs(self, rule: str, words: str) -> list[tuple[str, int]]:
        """Repaired rows, of one rule or of all, that hold the words."""
        wanted = words.lower().split()[:20]
        found = []
        for place in self.mended:
            row, text = self.at(place), self.texts[place[0]][place[1]]
            rules = {f["rule"] for f in row["findings"] if f["action"] == "repair"}
            if (not rule or rule in rules) and all(word in text for word in wanted):
                found.append(place)
        return found

    def rules(self) -> list[tuple[str, str]]:
        """(label with count, rule) of the rules that repaired something."""
        counts = Counter(
            rule
            for place in self.mended
            for rule in {f["rule"] for f in self.at(place)["findings"] if f["action"] == "repair"}
        )
        return [(f"{rule} ({count:,})", rule) for rule, count in counts.most_common()]

    def before(self, row: Row) -> str:
        """The row's text as it came in."""
        config = self.manifest["config"]
        columns = dict(entry.split("=", 1) for entry in config["columns"])
        forms = {file["path"]: file["form"] for file in self.manifest["input"]["files"]}
        form = forms.get((row["source"] or "").rpartition(":")[0], next(iter(forms.values())))
        raw = json.loads(row["original"])
        return text_of(normalise(raw, form, {o: t for o, t in columns.items() if t in raw}))

    def parents(self, row: Row) -> list[tuple[str, Row | None, float]]:
        """(id, row, share of its content that is found in the made row) of each parent."""
        found = [(key, self.get(key)) for key in row["parents"]]
        return [(key, parent, coverage(parent, row) if parent else 0.0) for key, parent in found]

    def label(self, place: tuple[str, int]) -> str:
        """A row in a list."""
        row = self.at(place)
        first = next((m["content"] for m in row["messages"] if m["role"] == "user"), "")
        return squash(first, 110) or "(no text)"


@functools.lru_cache(maxsize=8)
def load(folder: Path) -> Results:
    """The results in a run's output folder."""
    parts = [read_written(folder / part / "train.parquet") for part in ("data", "dropped")]
    return Results(Manifest.load(folder / "manifest.json"), parts[0], parts[1])


def _row(rows: Dataset, index: int) -> Row:
    return dict(rows[index])


def page_of(found: list[Any], page: int) -> tuple[list[Any], int, int]:
    """(what is on the page, its number, number of pages), the page moved to where there is one."""
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(int(page), 0), pages - 1)
    return found[page * PAGE : (page + 1) * PAGE], page, pages


def facts_of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of what is known of a row."""
    found = [("row", row["id"])]
    if row["origin"] != Origin.INPUT:
        found.append(("origin", origin_label(row["origin"])))
    if row["score"] is not None:
        found.append(("score", str(row["score"])))
    if row["dropped_by"] in USED_UP.values():
        found.append(("used up", "in a made row"))
    elif row["dropped_by"]:
        found.append(("left out by", row["dropped_by"]))
    names = {"source": "from", "model": "model", "round": "round", "prompt_version": "prompt or pattern"}
    found += [(said, str(row[name])) for name, said in names.items() if row[name]]
    return found
