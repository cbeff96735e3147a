"""The plan of a run on a cluster: the page shows what the script computes, and the arithmetic is right."""

from __future__ import annotations

from pathlib import Path

import plan_cluster
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "scale_ray.md"
RATES = {"purge": 100.0, "compare": 1000.0}


def test_the_page_shows_the_plan():
    shown = PAGE.read_text(encoding="utf-8").split("<!-- plan -->\n")[1].split("\n<!-- /plan -->")[0]
    assert shown == plan_cluster.as_markdown(plan_cluster.plan(plan_cluster.arguments([]), plan_cluster.measured()))


def test_hours_and_cost_follow_from_rates_and_prices():
    given = ["--rows", "3600000", "--machines", "2", "--cores", "5", "--cpu-price", "3", "--raters", "0"]
    lines = {line.work.split(":")[0]: line for line in plan_cluster.plan(plan_cluster.arguments(given), RATES)}
    assert lines["purge"].hours == pytest.approx(1.0)  # 3.6 million rows at 100 a second on each of 10 cores
    assert lines["purge"].cost == pytest.approx(6.0)
    assert lines["duplicates"].hours == pytest.approx(1.0) and lines["duplicates"].cost == pytest.approx(3.0)
    assert lines["rate"].hours == 0
    assert lines["purge"].source == "ray_purge.json" and lines["embed"].source == "example"
