"""The field cases: small inputs made after public bug reports, with the right outcome of each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CASES = ROOT / ".." / "shared" / "data" / "field-cases"
sys.path.append(str(ROOT / "benchmarks"))

field_cases = pytest.importorskip("field_cases")
FOLDERS = sorted(path.parent.name for path in CASES.glob("*/expect.json")) or ["none"]


@pytest.mark.parametrize("name", FOLDERS)
def test_every_expectation_holds(name: str) -> None:
    if name == "none":
        pytest.skip("../shared/data/field-cases is not there")
    found = field_cases.outcomes(CASES / name)
    if found is None:
        pytest.skip("needs a chat server, a training run or a browser; it has tests of its own")
    assert {what: told for what, held, told in found if not held} == {}
