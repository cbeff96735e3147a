"""Run the field cases: small inputs made after public bug reports, with the right outcome of each.

    python benchmarks/field_cases.py --json

Prints how many expectations were counted and how many hold. Cases that need a chat server or a training run are listed
as not counted: they have tests of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

CASES = Path(__file__).parents[1] / ".." / "shared" / "data" / "field-cases"
Outcome = tuple[str, bool, str]  # what was expected, whether it holds, what was found instead


def holds(row: Mapping[str, Any], want: Mapping[str, Any]) -> str:
    """ "" where a row is as wanted, else what differs."""
    if "any_of" in want:
        rest = {key: value for key, value in want.items() if key != "any_of"}
        faults = [holds(row, {**rest, **option}) for option in want["any_of"]]
        return "" if "" in faults else "; or ".join(faults)
    for key, value in want.items():
        fault = _CHECKS[key](row, value) if key in _CHECKS else ""
        if fault:
            return fault
    return ""


def _kept(row: Mapping[str, Any], value: bool) -> str:
    return "" if (row["dropped_by"] is None) == value else f"dropped_by {row['dropped_by']}: {row['notes']}"


def _reason(row: Mapping[str, Any], value: str) -> str:
    return "" if row["dropped_by"] == value else f"dropped_by {row['dropped_by']}"


def _messages(row: Mapping[str, Any], value: Sequence[Mapping[str, Any]]) -> str:
    found = row["messages"]
    if len(found) != len(value):
        return f"{len(found)} turns: {found}"
    return next((fault for turn, want in zip(found, value, strict=True) if (fault := _turn(turn, want))), "")


def _turn(turn: Mapping[str, Any], want: Mapping[str, Any]) -> str:
    for key, value in want.items():
        found: Any = turn.get({"reasoning_content": "reasoning", "text": "content"}.get(key, key))
        if key == "calls":
            functions = [call["function"] for call in turn.get("tool_calls") or ()]
            found = [{"name": one["name"], "arguments": json.loads(one["arguments"])} for one in functions]
        if found != value:
            return f"{key} is {found!r:.200}"
    return ""


def _tools(row: Mapping[str, Any], value: Any) -> str:
    return "" if row["tools"] and json.loads(row["tools"]) == value else f"tools {row['tools']}"


def _end(row: Mapping[str, Any], value: str) -> str:
    text = row["messages"][-1]["content"]
    return "" if text.endswith(value) else f"ends with {text[-80:]!r}"


def _opening(row: Mapping[str, Any], value: str) -> str:
    text = row["messages"][-1]["content"]
    return "" if text.startswith(value) else f"opens with {text[:80]!r}"


def _no_flags(row: Mapping[str, Any], value: Any) -> str:
    unwanted = None if value is True else {value} if isinstance(value, str) else set(value or ())
    found = {f["rule"] for f in row["findings"] if f["action"] == "flag"}
    wrong = found if unwanted is None else found & unwanted
    return f"flagged {sorted(wrong)}" if wrong else ""


def _not_dropped(row: Mapping[str, Any], value: Any) -> str:
    reasons = [value] if isinstance(value, str) else value
    return (
        f"dropped_by {row['dropped_by']}"
        if (row["dropped_by"] or "").removeprefix("purge:") in [reason.removeprefix("purge:") for reason in reasons]
        else ""
    )


def _notes(row: Mapping[str, Any], value: str) -> str:
    return "" if value in row["notes"] else f"notes {row['notes']!r}"


_CHECKS: dict[str, Callable[[Mapping[str, Any], Any], str]] = {
    "kept": _kept,
    "reason": _reason,
    "messages": _messages,
    "messages_end_with": _end,
    "opens_with": _opening,
    "no_flags": _no_flags,
    "not_dropped_by": _not_dropped,
    "notes_contain": _notes,
    "tools": _tools,
}


def read(source: Any, want: Any) -> Iterator[Outcome]:
    """The expectations of one input that `read_rows` reads."""
    from entp_hf.config import EntpConfig
    from entp_hf.errors import InputError
    from entp_hf.execution.tables import each
    from entp_hf.io.reader import read_rows

    try:
        rows = list(each(read_rows(source, EntpConfig())[0]))
    except InputError as error:
        yield from _refused(str(error), want)
        return
    yield from against(rows, want)


def _refused(error: str, want: Any) -> Iterator[Outcome]:
    options = want.get("any_of", [want]) if isinstance(want, Mapping) else [want]
    asked = [
        option["error_contains"] for option in options if isinstance(option, Mapping) and "error_contains" in option
    ]
    if asked:
        yield "error", any(all(text in error for text in texts) for texts in asked), error
    else:
        for number in range(len(want) if isinstance(want, list) else 1):
            yield f"row {number + 1}", False, error


def against(rows: Sequence[Mapping[str, Any]], want: Any) -> Iterator[Outcome]:
    """The expectations of rows that were read."""
    if isinstance(want, list):
        for number, one in enumerate(want, 1):
            row = rows[number - 1] if number <= len(rows) else None
            fault = "no such row" if row is None else holds(row, one)
            yield f"row {number}", not fault, fault
        return
    options = want.get("any_of", [want])
    kept = sum(row["dropped_by"] is None for row in rows)
    figures = {"rows": len(rows), "kept": kept}
    fits = any(
        all(figures[key] == option[key] for key in figures if key in option)
        for option in options
        if "rows" in option or "kept" in option
    )
    yield "count", fits, f"{len(rows)} rows, {kept} kept"


def by_reading(folder: Path, expect: Mapping[str, Any]) -> Iterator[Outcome]:
    """Cases of `read_rows(FILE, ...)`."""
    for name, want in expect["files"].items():
        for told, held, found in read(str(folder / name), want):
            yield f"{name}, {told}", held, found


def in_memory(folder: Path, expect: Mapping[str, Any]) -> Iterator[Outcome]:
    """Cases of datasets that were loaded by `datasets` first."""
    from datasets import load_dataset

    for name, want in expect["files"].items():
        with tempfile.TemporaryDirectory() as cache:
            dataset = load_dataset("json", data_files=str(folder / name), split="train", cache_dir=cache)
            for told, held, found in read(dataset, want):
                yield f"{name}, {told}", held, found


def by_purge(folder: Path, expect: Mapping[str, Any]) -> Iterator[Outcome]:
    """Cases of `entp purge FILE`."""
    from datasets import concatenate_datasets

    from entp_hf.config import EntpConfig
    from entp_hf.execution.tables import each
    from entp_hf.io.reader import read_rows
    from entp_hf.pipeline.run import purge_rows

    config = EntpConfig()
    rows, _ = read_rows(str(folder / "input.jsonl"), config)
    begun = time.perf_counter()
    kept, dropped, _ = purge_rows(rows, config)
    seconds = (time.perf_counter() - begun) / len(rows)
    place = {row["source"]: row for row in each(concatenate_datasets([kept, dropped]))}
    purged = [place[row["source"]] for row in each(rows)]
    if "rows" in expect:
        yield from against(purged, expect["rows"])
    if "seconds_at_most_a_row" in expect:
        yield "seconds a row", seconds <= expect["seconds_at_most_a_row"], f"{seconds:.2f}"


def parsed(folder: Path, expect: Mapping[str, Any]) -> Iterator[Outcome]:
    """Cases of a reply's text to its object."""
    from entp_hf.llm.structured import parse_json
    from entp_hf.mix import fusion
    from entp_hf.rating import rate

    forms = {**vars(rate), **vars(fusion)}
    replies = json.loads((folder / "input-replies.json").read_text(encoding="utf-8"))
    for number, (reply, want) in enumerate(zip(replies, expect, strict=True), 1):
        value, reason = parse_json(reply["text"], forms[reply["form"]])
        found = None if value is None else value.model_dump()
        options = want.get("any_of", [want])
        held = any(
            found is None if option.get("refused") else found is not None and option["object"].items() <= found.items()
            for option in options
        )
        yield f"reply {number}", held, f"{found!r:.200} {reason}"


def commands_of_own_output(folder: Path, _: Mapping[str, Any]) -> Iterator[Outcome]:
    """Folders that this package wrote, as its own input and as `datasets` loads them."""
    from datasets import load_dataset

    pool = str(folder / "input.jsonl")
    whole = ["--raters", "", "--pool", "all", "--fuser", "none"]
    with tempfile.TemporaryDirectory() as work:
        at = Path(work)
        steps = [
            (["build", pool, "-o", str(at / "one"), *whole], at / "one"),
            (["purge", pool, "-o", str(at / "clean")], at / "clean"),
            (["select", pool, "-o", str(at / "best"), "--method", "random", "-n", "1"], at / "best"),
        ]
        for command, out in steps:
            fault = _entp(command)
            yield f"entp {command[0]}", not fault, fault
            kept = _kept_rows(out)
            loaded = len(load_dataset(str(out), split="train", cache_dir=str(at / "cache")))
            yield f"load_dataset of entp {command[0]}", loaded == kept, f"{loaded} rows, not {kept}"
            again = at / f"{out.name}-again"
            fault = _entp(["purge", str(out), "-o", str(again)])
            rows = 0 if fault else json.loads((again / "manifest.json").read_text())["input"]["rows"]
            yield f"entp purge of entp {command[0]}", rows == kept, fault or f"{rows} rows read, not {kept}"


def _entp(command: Sequence[str]) -> str:
    """Run `entp`; "" where it worked, else the end of what it said."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    run = [sys.executable, "-m", "entp_hf", *command]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, check=False)
    return "" if done.returncode == 0 else (done.stderr or done.stdout)[-300:]


def _kept_rows(folder: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(folder / "data" / "train.parquet").num_rows)


def by_build(folder: Path, expect: Mapping[str, Any]) -> Iterator[Outcome]:
    """Cases of `entp build` without a model, each row by its `dropped_by`."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as work:
        out = Path(work, "out")
        whole = ["--raters", "", "--pool", "all", "--fuser", "none"]
        fault = _entp(["build", str(folder / "input.jsonl"), "-o", str(out), *whole])
        parts = [] if fault else [pq.read_table(out / part / "train.parquet") for part in ("data", "dropped")]
        found = {row["source"]: row for part in parts for row in part.to_pylist()}
        for number, want in enumerate(expect["rows"], 1):
            row = found.get(f"input.jsonl:{number}")
            told = fault or ("no such row" if row is None else holds(row, want))
            yield f"row {number}", not told, told


def outcomes(folder: Path) -> Iterator[Outcome] | None:
    """The outcomes of a case; None for one that needs a server, a training run or a browser."""
    expect = json.loads((folder / "expect.json").read_text(encoding="utf-8"))
    how = str(expect["how"])
    if folder.name.startswith(("02-", "42-")):
        return commands_of_own_output(folder, expect)
    if how.startswith("entp_hf.inputs.read_rows(FILE"):
        return by_reading(folder, expect)
    if how.startswith("read_rows(load_dataset"):
        return in_memory(folder, expect)
    if how.startswith("entp purge FILE"):
        return by_purge(folder, expect)
    if how == "parse":
        return parsed(folder, expect["replies"])
    if how.startswith("entp build input.jsonl"):
        return by_build(folder, expect)
    if how == "server" and "parse" in expect:
        return parsed(folder, expect["parse"]["replies"])
    return None


def run(cases: Path, only: Sequence[str] = ()) -> dict[str, Any]:
    """All cases of a folder, or those whose names begin with one of `only`."""
    by_case: dict[str, Any] = {}
    left: list[str] = []
    for folder in sorted(path.parent for path in cases.glob("*/expect.json")):
        if only and not folder.name.startswith(tuple(only)):
            continue
        found = outcomes(folder)
        if found is None:
            left.append(folder.name)
            continue
        counted = list(found)
        faults = {what: told for what, held, told in counted if not held}
        by_case[folder.name] = {"expectations": len(counted), "held": len(counted) - len(faults), "faults": faults}
    return {
        "expectations": sum(case["expectations"] for case in by_case.values()),
        "held": sum(case["held"] for case in by_case.values()),
        "by_case": by_case,
        "not_counted": left,
    }


def main() -> int:
    """Command line; exit status 1 where an expectation does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="?", type=Path, default=CASES, help="folder of the cases")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of the cases' names")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if not options.cases.is_dir():
        parser.error(f"{options.cases} is no folder; name the folder of the field cases")
    result = run(options.cases, options.only)
    if options.json:
        sys.stdout.write(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    else:
        for name, case in result["by_case"].items():
            sys.stdout.write(f"{name}: {case['held']} of {case['expectations']}\n")
            sys.stdout.writelines(f"    {what}: {told}\n" for what, told in case["faults"].items())
        sys.stdout.write(f"{result['held']} of {result['expectations']} hold\n")
    return int(result["held"] < result["expectations"])


if __name__ == "__main__":
    raise SystemExit(main())
