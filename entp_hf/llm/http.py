"""What calls need beside the HTTP client: slots for calls, reading a completion, keeping secrets out of texts."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from .protocol import ChatReply

MOST_PATIENCE = 300.0  # seconds; a server that asks for a longer pause gets none, and the call fails (ours)
SLOW = 3.0  # times the best mean latency so far, past which no more calls are tried at once (ours)
_HF_HOSTS = ("huggingface.co", "hf.co", "huggingface.cloud", "hf.space")
_SECRETS = re.compile(r"(?i)\bbearer\s+\S+|\b(?:hf_|sk-|sk_|gsk_|xai-|AIza)[\w\-*.]{6,}|//[^/@\s]+@")


@dataclass(frozen=True)
class Failure:
    """A call that gave no reply: why, and what to do about it."""

    text: str
    status: int = 0  # HTTP status; 0: there was none
    again: bool = False
    wait: float = 0.0  # seconds that the server asks to wait
    fatal: bool = False  # wrong for every request alike: key, model or address
    way_out: str = ""
    unreached: bool = False  # nobody took the connection: for every request alike, unless one was answered before


def unreached(text: str) -> Failure:
    """Nobody takes connections at the address: worth some tries, for a server may be starting."""
    return Failure(text, again=True, way_out="start the server, or check the endpoint", unreached=True)


class Slots:
    """Calls in flight: at most `most`, half of that after a refusal for too many, and slowly more again.

    `grow` and `halve` set the number. Used in one event loop. `pause` holds all new calls back for a while.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.cuts = 0
        self.taken = 0
        self._until = 0.0
        self._mean: float | None = None  # seconds of a good call, smoothed
        self._best = float("inf")
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._changed:
            while True:
                await self._changed.wait_for(lambda: self.taken < int(self.limit))
                left = self._until - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                self._changed.release()
                try:
                    await asyncio.sleep(left)
                finally:
                    await self._changed.acquire()
            self.taken += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.taken -= 1
        async with self._changed:
            self._changed.notify(max(0, int(self.limit) - self.taken))  # waking all costs more than a call does

    def halve(self, since: int) -> None:
        """Half as many from now on; a call that began before the last cut (`since` < cuts) tells nothing new."""
        if since == self.cuts:
            self.limit = max(1.0, self.limit / 2)
            self.cuts += 1

    def grow(self, seconds: float) -> None:
        """One more slot for as many good calls as there are slots, unless calls have become slow: more would queue."""
        self._mean = seconds if self._mean is None else 0.9 * self._mean + 0.1 * seconds
        self._best = min(self._best, self._mean)
        if self._mean <= SLOW * self._best:
            self.limit = min(float(self.most), self.limit + 1 / self.limit)

    def pause(self, seconds: float) -> None:
        """No new call before that."""
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)


class Verbatim(dict[str, Any]):
    """A `response_format` that huggingface_hub passes on as it is.

    For any URL it would turn a json_schema into TGI's own older form, which other servers refuse or ignore; it finds
    one by `get("type")`.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """As a dict's, but tells no `type`."""
        return default if key == "type" else super().get(key, default)


def read_completion(out: Any) -> ChatReply | Failure:
    """The reply in a chat completion; an answer without text is an error, unless it was cut at the token limit."""
    try:
        choice = out.choices[0]
        text, reason = choice.message.content, choice.finish_reason
    except (AttributeError, IndexError, TypeError):
        return Failure("the server's answer is no chat completion", again=True)
    usage = getattr(out, "usage", None)
    asked, drawn = (int(getattr(usage, name, 0) or 0) for name in ("prompt_tokens", "completion_tokens"))
    if reason == "length":
        return ChatReply(text or "", "length", asked, drawn)
    if reason == "content_filter":
        return ChatReply(text or "", "error", asked, drawn, "the server's content filter stopped the answer")
    if not (text or "").strip():
        return ChatReply("", "error", asked, drawn, f"the model gave an empty answer (finish_reason {reason})")
    return ChatReply(text, "stop", asked, drawn)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of the Retry-After header, given as a number or as a date; 0.0 if there is none that can be read."""
    text = headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=dt.UTC)
    return max(0.0, (when - dt.datetime.now(dt.UTC)).total_seconds())


def refused(status: int, text: str, headers: Mapping[str, str]) -> Failure:
    """What an HTTP error status means for a call."""
    text = f"HTTP {status}: {text}"
    again = status in (408, 429) or status >= 500
    way_out = {
        401: "check the key: ENTP_API_KEY, OPENAI_API_KEY or HF_TOKEN, as the server wants",
        403: "the key may not use this model: check its rights",
        404: "check the model's name and the endpoint's path",
    }.get(status, "")
    wait = retry_after(headers)
    if again and wait > MOST_PATIENCE:
        return Failure(f"{text}; it asks to wait {wait:.0f} s, over the {MOST_PATIENCE:.0f} s that we do", status)
    return Failure(text, status, again, wait, bool(way_out), way_out)


def scrub(text: str, key: str) -> str:
    """One line of at most 300 characters, without `key` and without what looks like a key or a password."""
    text = " ".join(text.split())
    if key:
        text = text.replace(key, "[key]")
    return _SECRETS.sub("[key]", text)[:300]


def find_key(endpoint: str, provider: str) -> str:
    """The API key from the environment or the Hub's login, or "".

    ENTP_API_KEY goes to whatever is configured; OPENAI_API_KEY to an endpoint, or to the provider openai; HF_TOKEN, or
    else the login of `hf auth login`, to Hugging Face's hosts and providers only.
    """
    import huggingface_hub

    ours = os.environ.get("ENTP_API_KEY", "").strip()
    host = urlsplit(endpoint).hostname or _HF_HOSTS[0]
    if provider != "openai" and any(host == known or host.endswith(f".{known}") for known in _HF_HOSTS):
        return ours or huggingface_hub.get_token() or ""
    return ours or os.environ.get("OPENAI_API_KEY", "").strip()
