"""What the tests of reading share: rows, files of them, and the error that reading ends with."""

from __future__ import annotations

import json

import pytest

from entp_hf.config import EntpConfig
from entp_hf.errors import InputError
from entp_hf.io.formats import restore
from entp_hf.io.reader import read_rows

POOL = [{"instruction": f"Count to {n}.", "input": "", "output": f"1 ... {n}"} for n in range(1, 7)]


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def originals(dataset):
    return [restore(row) for row in dataset]


def error_of(inputs, **settings) -> str:
    with pytest.raises(InputError) as caught:
        read_rows(inputs, EntpConfig(**settings))
    return str(caught.value)
