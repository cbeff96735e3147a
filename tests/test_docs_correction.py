"""The page on correction: its code runs as pasted, and comes to what its text says."""

import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "correction.md").read_text(encoding="utf-8")


def test_the_code_runs_and_bears_out_the_text(capsys) -> None:
    names: dict = {}
    said = []
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S):
        exec(compile(block, "correction.md", "exec"), names)
        said.append(capsys.readouterr().out)
    assert "levels of quality are supported by the data" in said[0]
    before, after = map(float, re.findall(r"right before: ([\d.]+), after: ([\d.]+)", said[1])[0])
    assert after > 0.97 > before + 0.2
    blind, told = (tuple(map(float, pair)) for pair in re.findall(r"sure of ([\d.]+), right for ([\d.]+)", said[2]))
    assert blind[0] - blind[1] > 0.05 > abs(told[0] - told[1])


def test_every_name_in_the_tables_is_a_field() -> None:
    from entp_hf import CorrectedRatings

    fields = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
    assert fields == set(CorrectedRatings.__dataclass_fields__)
