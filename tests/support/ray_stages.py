"""Stages for the tests of the Ray host, in a module of their own: a worker imports them by name."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from entp_hf.errors import StageError
from entp_hf.execution.tables import as_dataset
from entp_hf.execution.usage import record
from entp_hf.llm.protocol import ChatReply
from entp_hf.purge import Purge
from entp_hf.schema import new_row


@dataclass(frozen=True)
class DiesOnce:
    """The purge, in a process that kills itself in its second block, unless one did so before."""

    mark: str
    inner: Purge = Purge()

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        out = self.inner(batch)
        if "fruit 100," in str(batch["messages"]) and not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return out


@dataclass(frozen=True)
class Refuses:
    """Raises a StageError with ids."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        raise StageError("refuses", "it can't", batch["id"][:5])


@dataclass(frozen=True)
class Spends:
    """Asks for seven tokens a row."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        record([ChatReply(prompt_tokens=5, completion_tokens=2)] * len(batch["id"]))
        return batch


def rows(number: int = 40) -> Dataset:
    return as_dataset(
        [
            new_row(
                [
                    {"role": "user", "content": f"Name fruit {i}, please."},
                    {
                        "role": "assistant",
                        "content": f"As an AI language model, I name\u00a0fruit {i}:  Itâ€™s a pear.",
                    },
                ]
            )
            for i in range(number)
        ]
    )
