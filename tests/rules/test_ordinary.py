"""A hundred ordinary lines and more of each kind that is about markup, escapes, shells, tokens and the like."""

from __future__ import annotations

from collections import Counter

import pytest
from ordinary_lines import KINDS

from entp_hf.purge import Purge


@pytest.mark.parametrize("kind", KINDS)
def test_none_is_damaged(kind):
    rows = KINDS[kind]
    assert len(set(rows)) >= 100
    flags = Counter()
    for ask, answer in rows:
        result = Purge().row([{"role": "user", "content": ask}, {"role": "assistant", "content": answer}])
        assert result.messages[-1]["content"] == answer, result.findings
        assert result.dropped_by is None, (ask, answer, result.findings)
        flags.update(finding.rule for finding in result.findings)
    assert flags.total() <= 0.1 * len(rows), flags
