"""Chat models behind one protocol: a batch of requests in, one reply for each out, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .reply_cache import CachedChat

BUDGET = "budget"  # finish_reason of a call that was not made, since budget or time are used up


@dataclass(frozen=True)
class ChatRequest:
    """One call: the conversation so far, and how to answer it."""

    messages: tuple[tuple[str, str], ...]  # (role, content)
    max_tokens: int = 512
    temperature: float = 0.0
    schema: str = ""  # JSON schema of the reply as JSON text, or "" for free text
    prompt_version: str = ""  # part of the cache key
    attempt: int = 0  # part of the cache key: a retry is a new call

    def as_messages(self) -> list[dict[str, str]]:
        """The conversation in the chat-completion form."""
        return [{"role": role, "content": content} for role, content in self.messages]


@dataclass(frozen=True)
class ChatReply:
    """What came back. A failed call is a reply with `error` set, never an empty answer."""

    text: str = ""
    finish_reason: str = "stop"  # stop | length | error | budget: not asked, `error` says which limit
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""
    cached: bool = field(default=False, compare=False)

    @property
    def ok(self) -> bool:
        """True if the model finished its answer: neither an error nor cut off at the token limit."""
        return not self.error and self.finish_reason != "length"


class ChatClient(Protocol):
    """Anything that answers chat requests. Implementations are frozen dataclasses (picklable, hashable)."""

    @property
    def name(self) -> str:
        """Model and place, as cache key and provenance: no secrets."""
        ...

    def chat(self, requests: Sequence[ChatRequest], desc: str = "") -> list[ChatReply]:
        """Answer all requests, in order; shows a progress bar named `desc`. Never raises for one failed call."""
        ...


def make_client(config: Any, model: str | None = None) -> CachedChat:
    """The client that the configuration asks for, with the reply cache around it.

    `endpoint` set: that server, by its chat route or TGI's own (`api`); `provider` set: Hugging Face Inference
    Providers; else the model in this process, or, with engine `ray`, in its workers.
    """
    from .reply_cache import REPLIES, CachedChat

    name, cache = model or config.model, str(config.cache_path())
    place = {"concurrency": config.concurrency, "timeout": config.timeout}
    client: ChatClient
    if config.endpoint and config.api == "tgi":
        from .tgi import TGIChat

        client = TGIChat(name, config.endpoint, cache_dir=cache, **place)
    elif config.endpoint or config.provider:
        from .hub import HubChat

        client = HubChat(name, config.endpoint, config.provider, **place)
    else:
        from ..execution.ray_engine import RayHost
        from .local import LocalChat

        client = local = LocalChat(name, device=config.device, batch_size=config.batch_size, cache_dir=cache)
        if (ray := RayHost.from_config(config)) is not None:
            from .ray_chat import RayChat

            client = RayChat(local, ray)
    return CachedChat(client, str(config.cache_path() / REPLIES))
