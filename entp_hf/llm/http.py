"""HTTP helpers: failures and what to do about them, concurrency slots, keys, secret scrubbing."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from urllib.parse import urlsplit

MOST_PATIENCE = (
    300.0  # seconds; a server that asks for a longer pause gets none, and the call fails (not in the paper)
)
SLOW = 3.0  # times the best latency so far, past which no more calls are tried at once (not in the paper)
_HF_HOSTS = ("huggingface.co", "hf.co", "huggingface.cloud", "hf.space")
_SECRETS = re.compile(r"(?i)\bbearer\s+\S+|\b(?:hf_|sk-|sk_|gsk_|xai-|AIza)[\w\-*.]{6,}|//[^/@\s]+@")
_NO_CREDIT = re.compile(
    r"(?i)insufficient[_ ](?:quota|funds|balance|credit)|(?:no|out of|not enough) (?:credit|funds|balance|quota)"
    r"|credit balance|billing_hard_limit|hard limit|spending limit|arrears|prepaid"
)
_STARTING = (502, 503, 504)


@dataclass(frozen=True)
class Failure:
    """A call that gave no reply: why, and what to do about it."""

    text: str
    status: int = 0  # HTTP status; 0: there was none
    retryable: bool = False
    wait: float = 0.0  # seconds that the server asks to wait
    fatal: bool = False  # wrong for every request alike: key, model or address
    hint: str = ""
    connection_failed: bool = False  # nobody took the connection: as fatal, unless a call was answered before
    exhausted: bool = False  # credit or quota are used up: for every request alike, and no wait helps
    timed_out: bool = False

    @property
    def starting(self) -> bool:
        """True where the server may be loading the model, or a proxy waits for it."""
        return self.status in _STARTING


def connection_failed(text: str) -> Failure:
    """Nobody takes connections at the address: worth some tries, for a server may be starting."""
    return Failure(text, retryable=True, hint="start the server, or check the endpoint", connection_failed=True)


class Slots:
    """Calls in flight: at most `limit`, halved at a refusal for too many, and grown again while calls stay fast.

    Used in one event loop. `pause` holds all new calls back for a while.

    Args:
        most: highest limit.
        start: the limit at first; `most` where None. While nothing has slowed down it doubles with every round of
            calls, so that a server whose slots are not known is measured within a few rounds.
    """

    def __init__(self, most: int, start: int | None = None) -> None:
        self.most, self.start = most, min(start or most, most)
        self.limit = float(self.start)
        self.cuts = 0
        self.taken = 0
        self._measuring = self.start < most
        self._until = 0.0
        self._mean: float | None = None  # seconds of a good call, smoothed
        self._best = self._fastest = float("inf")
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
            self._measuring = False

    def grow(self, seconds: float) -> None:
        """Count a good call, `seconds` long until its first token: more slots, unless calls have become slow, since
        more would queue.
        """
        if seconds > SLOW * self._fastest:
            self._measuring = False
        self._fastest = min(self._fastest, seconds)
        self._mean = seconds if self._mean is None else 0.9 * self._mean + 0.1 * seconds
        self._best = min(self._best, self._mean)
        if self._mean <= SLOW * self._best:
            self.limit = min(float(self.most), self.limit + (1.0 if self._measuring else 1 / self.limit))
        else:
            self._measuring = False

    def hold(self, seconds: float) -> None:
        """One call at a time, and none before `seconds` are over: the server is starting."""
        self.limit = 1.0
        self.pause(seconds)

    def release(self) -> None:
        """As many as at the start: the server answers."""
        self.limit = max(self.limit, float(self.start))

    def pause(self, seconds: float) -> None:
        """No new call before that."""
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)


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


def failure_of_status(status: int, text: str, headers: Mapping[str, str]) -> Failure:
    """What an HTTP error status means for a call.

    Args:
        status: HTTP status, or the code that an error body gives.
        text: the server's message, or the body of its answer.
        headers: for Retry-After.
    """
    message = message_of(text)
    text = f"HTTP {status}: {message}"
    if status == 402 or (status in (403, 429) and _NO_CREDIT.search(message)):
        return Failure(text, status, exhausted=True, hint="pay in, or ask another server; answered calls are kept")
    retryable = status in (408, 429) or status >= 500
    hint = {
        401: "check the key: ENTP_API_KEY, OPENAI_API_KEY or HF_TOKEN, as the server wants",
        403: "the key may not use this model: check its rights",
        404: "check the model's name and the endpoint's path",
    }.get(status, "")
    wait = retry_after(headers)
    if retryable and wait > MOST_PATIENCE:
        return Failure(f"{text}; it asks to wait {wait:.0f} s, over the {MOST_PATIENCE:.0f} s that we do", status)
    return Failure(text, status, retryable, wait, fatal=bool(hint), hint=hint)


def message_of(text: str) -> str:
    """The message in an error body, with its code and parameter; the text itself where it is no such body."""
    try:
        body = json.loads(text)
    except ValueError:
        return text
    if isinstance(body, list) and body:  # Gemini's compatible route answers with a list
        body = body[0]
    if not isinstance(body, dict):
        return text
    error = body.get("error", body.get("detail", body.get("message", body)))
    if not isinstance(error, dict):
        return error if isinstance(error, str) else json.dumps(error)
    said = error.get("message") or error.get("detail") or json.dumps(error)
    extra = [str(error[name]) for name in ("code", "type", "param") if isinstance(error.get(name), str | int)]
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):  # OpenRouter: the words of the provider behind it
        extra.append(str(metadata["raw"]))
    return f"{said} ({', '.join(extra)})" if extra else str(said)


def scrub(text: str, key: str) -> str:
    """One line of at most 300 characters, without `key` and without what looks like a key or a password."""
    text = " ".join(text.split())
    if key:
        text = text.replace(key, "[key]")
    return _SECRETS.sub("[key]", text)[:300]


def find_key(endpoint: str, provider: str, shared: bool = True) -> str:
    """The API key from the environment or the Hub's login, or "".

    A key for one host, in the variable of `key_variable`, comes first. ENTP_API_KEY goes to whatever is configured;
    OPENAI_API_KEY to an endpoint, or to the provider openai; HF_TOKEN, or else the login of `hf auth login`, to
    Hugging Face's hosts and providers only.

    Args:
        endpoint: base URL of the server, or "".
        provider: Inference Provider, or "".
        shared: False for another host than that of the setting `endpoint`: it gets neither ENTP_API_KEY nor, unless
            it is OpenAI's, OPENAI_API_KEY.
    """
    import huggingface_hub

    host = urlsplit(endpoint).hostname or _HF_HOSTS[0]
    if endpoint and (own := os.environ.get(key_variable(endpoint), "").strip()):
        return own
    general = os.environ.get("ENTP_API_KEY", "").strip() if shared else ""
    if provider != "openai" and any(host == known or host.endswith(f".{known}") for known in _HF_HOSTS):
        return general or huggingface_hub.get_token() or ""
    openai = os.environ.get("OPENAI_API_KEY", "").strip() if shared or host == "api.openai.com" else ""
    return general or openai


def key_variable(endpoint: str) -> str:
    """The environment variable of the key for the endpoint's host alone: ENTP_API_KEY_API_OPENAI_COM."""
    return "ENTP_API_KEY_" + re.sub(r"[^A-Z0-9]", "_", (urlsplit(endpoint).hostname or "").upper())
