"""Choose the chat client that a configuration asks for."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal
from urllib.parse import urlsplit

from ..config import SMOLLM2, EntpConfig
from ..models.known import default_chat_model
from .local import LocalChat
from .protocol import ChatClient
from .reply_cache import REPLIES, CachedChat

Role = Literal["fusion", "rater", "judge"]
AUTO = "auto"


def settled(config: EntpConfig) -> EntpConfig:
    """The configuration with models named where it says auto, so that a run's record says which they were.

    The chat model is the writer where it has been fetched, else SmolLM2; the rater `logits` reads SmolLM2, which
    rates as well as the writer in less than half the time (docs/llm.md).
    """
    if config.model != AUTO:
        return config
    served = bool(config.endpoint or config.provider)
    model = SMOLLM2 if served else default_chat_model(str(config.cache_path()))
    rates = "logits" in config.raters and "llm" not in config.raters and not served
    if not rates or config.rater_model:
        return dataclasses.replace(config, model=model)
    return dataclasses.replace(config, model=model, rater_model=SMOLLM2, judge_model=config.judge_model or model)


def local_chat(config: EntpConfig, model: str) -> LocalChat:
    """The model in this process, as the configuration wants it run."""
    return LocalChat(
        model,
        device=config.device,
        batch_size=config.batch_size,
        cache_dir=str(config.cache_path()),
        dtype=config.model_dtype,
        thinking=config.thinking,
    )


def model_of(config: EntpConfig, role: Role = "fusion") -> tuple[str, str]:
    """(model, endpoint) of a role: the rater's and the judge's own where they are set, else the fusion model's.

    The judge rates fused rows; without settings of its own it is the rater.
    """
    config = settled(config)
    model, endpoint = config.model, config.endpoint
    if role in ("rater", "judge"):
        model, endpoint = config.rater_model or model, config.rater_endpoint or endpoint
    if role == "judge":
        model, endpoint = config.judge_model or model, config.judge_endpoint or endpoint
    return model, endpoint


def make_client(config: EntpConfig, role: Role = "fusion") -> CachedChat:
    """The client that the configuration asks for in a role, with the reply cache around it.

    `endpoint` set: that server, by its chat route or TGI's own (`api`); `provider` set: Hugging Face Inference
    Providers; else the model in this process, or, with engine `ray`, in its workers.
    """
    name, endpoint = model_of(config, role)
    cache = str(config.cache_path())
    client: ChatClient
    if endpoint or config.provider:
        place: dict[str, Any] = {
            "concurrency": config.concurrency,
            "timeout": config.timeout,
            "start_timeout": config.start_timeout,
            "max_failure_rate": config.max_failure_rate,
            "thinking": config.thinking,
            "extras_json": json.dumps(config.request_extras, sort_keys=True) if config.request_extras else "",
            # The key of the fusion model's host does not go to another one.
            "shared_key": not config.endpoint or urlsplit(endpoint).netloc == urlsplit(config.endpoint).netloc,
        }
    if endpoint and config.api == "tgi" and endpoint == config.endpoint:
        from .tgi import TGIChat

        client = TGIChat(name, endpoint, cache_dir=cache, **place)
    elif endpoint:
        from .openai import OpenAIChat

        client = OpenAIChat(name, endpoint, **place)
    elif config.provider:
        from .hub import HubChat

        client = HubChat(name, provider=config.provider, **place)
    else:
        from ..execution.ray_engine import RayEngine

        client = local = local_chat(config, name)
        if (ray := RayEngine.from_config(config)) is not None:
            from .ray_chat import RayChat

            client = RayChat(local, ray)
    return CachedChat(client, str(config.cache_path() / REPLIES))
