"""Ask a model for the rows of groups: in one reply, in two steps, or as a cure of a single row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..config import EntpConfig
from ..execution.usage import record
from ..llm.batch import end_of_stage
from ..llm.protocol import BUDGET, ChatClient, ChatReply, ChatRequest
from ..schema import Row
from .fusion import (
    Fuser,
    answer_of,
    asks_directly,
    cure_request,
    cured_row,
    direct_request,
    form_of,
    fused_row,
    fusion_request,
    in_one_reply,
    in_two_steps,
    is_cure,
    merged_answer,
    merged_request,
    prompt_of,
    read_fused,
    read_text,
    written_row,
)
from .groups import Group

WARM = 0.7  # least temperature of the second candidate on: at 0 all candidates would be the same (not in the paper)


@dataclass
class Writer:
    """Writes rows for the groups of a round. `asked` and `stopped` tell of the last call of `write`."""

    groups: Sequence[Group]
    fuser: Fuser
    config: EntpConfig
    client: ChatClient
    number: int  # of the round
    asked: int = 0  # rows that the model was asked for
    replies: int = 0  # replies that came, whatever was in them
    stopped: str = ""  # which limit forbade calls
    direct: dict[int, str] | None = None
    why: dict[int, str] = field(default_factory=dict)

    def write(
        self, todo: Sequence[int], why: Mapping[int, str], attempt: int, candidate: int
    ) -> tuple[dict[int, Row], dict[int, str]]:
        """Ask for one row for each group of `todo`.

        Args:
            todo: group numbers.
            why: for each, why the attempt before was refused; "" at first.
            attempt: 0, 1, ...
            candidate: 0 is drawn at the temperature of the configuration, later ones at `WARM` or more.

        Returns:
            The rows, by group number; for the groups without one the reason.

        """
        self.why, self.stopped = {}, ""
        self.replies *= bool(candidate)
        self.asked = self.asked * bool(candidate) + len(todo)
        heat = self.config.temperature if not candidate else max(self.config.temperature, WARM)
        number = attempt * self.config.candidates + candidate
        cures = [i for i in todo if is_cure(self.groups[i], self.fuser, self.config)]
        steps = [i for i in todo if i not in cures and in_two_steps(self.groups[i], self.fuser, self.config)]
        whole = [i for i in todo if i not in cures and i not in steps]
        rows = {
            **self._whole(whole, why, number, heat),
            **self._in_steps(steps, why, number, heat),
            **self._cures(cures, why, number, heat),
        }
        return rows, self.why

    def _whole(self, todo: Sequence[int], why: Mapping[int, str], number: int, heat: float) -> dict[int, Row]:
        if not todo:
            return {}
        direct = self._direct_answers()
        asks = {
            i: replace(
                fusion_request(self.groups[i], self.fuser, self.config, direct.get(i, ""), why[i], number),
                temperature=heat,
            )
            for i in todo
        }
        found = {}
        prompt = prompt_of(self.fuser, self.config)
        for i, reply in self._chat(asks, "fuse", number).items():
            fused, problem = read_fused(reply, form_of(self.groups[i], prompt))
            if fused is None:
                self.why[i] = problem
            else:
                version = asks[i].prompt_version
                found[i] = fused_row(self.groups[i], fused, self.client.name, version, self.number)
        return found

    def _in_steps(self, todo: Sequence[int], why: Mapping[int, str], number: int, heat: float) -> dict[int, Row]:
        asks = {i: merged_request(self.groups[i], self.config, why[i], number, heat) for i in todo}
        asked = self._texts(self._chat(asks, "merge requests", number))
        asked = {i: text.split("\n")[0].strip() for i, text in asked.items()}
        answers = {
            i: merged_answer(self.groups[i], text, self.config, why[i], number, heat) for i, text in asked.items()
        }
        told = self._texts(self._chat(answers, "answer", number))
        return {
            i: written_row(
                self.groups[i],
                asked[i],
                text,
                self.client.name,
                f"{asks[i].prompt_version}+{answers[i].prompt_version}",
                self.number,
            )
            for i, text in told.items()
        }

    def _cures(self, todo: Sequence[int], why: Mapping[int, str], number: int, heat: float) -> dict[int, Row]:
        asks = {i: cure_request(self.groups[i].representative, self.config, why[i], number, heat) for i in todo}
        told = self._texts(self._chat(asks, "cure", number))
        return {
            i: cured_row(self.groups[i].representative, text, self.client.name, asks[i].prompt_version, self.number)
            for i, text in told.items()
        }

    def _chat(self, asks: Mapping[int, ChatRequest], doing: str, number: int) -> dict[int, ChatReply]:
        if not asks:
            return {}
        replies = self.client.chat(list(asks.values()), desc=f"{doing} (round {self.number}, attempt {number + 1})")
        record(replies)
        end_of_stage()
        for reply in replies:
            self.replies += reply.ok
            if reply.finish_reason == BUDGET:
                self.stopped = reply.error
                self.asked -= 1
        return dict(zip(asks, replies, strict=True))

    def _texts(self, replies: Mapping[int, ChatReply]) -> dict[int, str]:
        read = {i: read_text(reply) for i, reply in replies.items()}
        self.why |= {i: problem for i, (_, problem) in read.items() if problem}
        return {i: text for i, (text, problem) in read.items() if not problem}

    def _direct_answers(self) -> dict[int, str]:
        """The model's own answers to the representatives, asked once a round; {} where the fuser takes none."""
        if self.direct is None:
            asks = {
                i: direct_request(group, self.config)
                for i, group in enumerate(self.groups)
                if asks_directly(self.fuser, self.config) and in_one_reply(group, self.fuser, self.config)
            }
            replies = self.client.chat(list(asks.values()), desc="direct answers") if asks else []
            record(replies)
            end_of_stage()
            found = {i: answer_of(reply) for i, reply in zip(asks, replies, strict=True)}
            self.direct = {i: text for i, text in found.items() if text}
        return self.direct


def likelihood(rows: Sequence[Row], config: EntpConfig) -> list[float | None]:
    """Mean log-likelihood of each row's answer under `candidate_model`, in nats a token; None without such a model.

    After GRAPE (arXiv 2502.04194): of several good answers the one that the model to be tuned finds likeliest.
    """
    if not config.candidate_model or not rows:
        return [None] * len(rows)
    from ..models.losses import losses

    found = losses(rows, replace(config, model=config.candidate_model), 2048)[:, 0]
    return [-float(loss) for loss in found]
