"""Choose the chat client that a configuration asks for."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..config import SMOLLM2, EntpConfig
from ..models.known import default_chat_model
from .protocol import ChatClient
from .reply_cache import REPLIES, CachedChat

AUTO = "auto"


def settled(config: EntpConfig) -> EntpConfig:
    """The configuration with models named where it says auto, so that a run's record says which they were.

    The chat model is the writer where it has been fetched, else SmolLM2; the rater `logits` reads SmolLM2, which rates
    as well and twenty times as fast.
    """
    if config.model != AUTO:
        return config
    served = bool(config.endpoint or config.provider)
    model = SMOLLM2 if served else default_chat_model(str(config.cache_path()))
    rates = "logits" in config.raters and "llm" not in config.raters and not served
    return dataclasses.replace(config, model=model, rater_model=config.rater_model or (SMOLLM2 if rates else ""))


def make_client(config: Any, model: str | None = None) -> CachedChat:
    """The client that the configuration asks for, with the reply cache around it.

    `endpoint` set: that server, by its chat route or TGI's own (`api`); `provider` set: Hugging Face Inference
    Providers; else the model in this process, or, with engine `ray`, in its workers.
    """
    name, cache = model or settled(config).model, str(config.cache_path())
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

        client = local = LocalChat(
            name, device=config.device, batch_size=config.batch_size, cache_dir=cache, dtype=config.model_dtype
        )
        if (ray := RayEngine.from_config(config)) is not None:
            from .ray_chat import RayChat

            client = RayChat(local, ray)
    return CachedChat(client, str(config.cache_path() / REPLIES))
