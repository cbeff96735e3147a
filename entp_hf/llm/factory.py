"""Choose the chat client that a configuration asks for."""

from __future__ import annotations

from typing import Any

from .protocol import ChatClient
from .reply_cache import REPLIES, CachedChat


def make_client(config: Any, model: str | None = None) -> CachedChat:
    """The client that the configuration asks for, with the reply cache around it.

    `endpoint` set: that server, by its chat route or TGI's own (`api`); `provider` set: Hugging Face Inference
    Providers; else the model in this process, or, with engine `ray`, in its workers.
    """
    from .reply_cache import CachedChat

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
        from ..execution.ray_engine import RayEngine
        from .local import LocalChat

        client = local = LocalChat(name, device=config.device, batch_size=config.batch_size, cache_dir=cache)
        if (ray := RayEngine.from_config(config)) is not None:
            from .ray_chat import RayChat

            client = RayChat(local, ray)
    return CachedChat(client, str(config.cache_path() / REPLIES))
