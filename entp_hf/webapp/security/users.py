"""Identity of a user: the Hub name after sign-in, and the rate-limit key of everyone else."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from .limits import Limits, Refused
from .requests import is_public


@dataclass(frozen=True)
class User:
    """`name` on the Hub, "" if not signed in. `token` for the Hub: None is this machine's own login, False is none."""

    name: str
    address: str
    token: str | bool | None = field(repr=False)

    @property
    def counted(self) -> str:
        """What the limits count by."""
        return f"hf:{self.name}" if self.name else f"at:{self.address}"

    def needed_token(self, what: str) -> str | None:
        """The token for something done in the user's name. Raises Refused where nobody is signed in."""
        if self.token is False or self.token is True:
            raise Refused(f"sign in first, to {what}")
        return self.token


def signing_in() -> bool:
    """Whether people can sign in here: the Hub gives a Space with `hf_oauth` what that needs."""
    return bool(os.environ.get("OAUTH_CLIENT_ID"))


def user_of(request: Any, limits: Limits) -> User:
    """The user behind a request of Gradio's or Starlette's."""
    address = _address(request, limits)
    if not limits.hosted:
        return User("", address, None)
    info = _session(request).get("oauth_info") or {}
    name = str((info.get("userinfo") or {}).get("preferred_username") or "")
    token = info.get("access_token")
    if not name or not token or float(info.get("expires_at") or 0) <= time.time():
        return User("", address, False)
    return User(name, address, str(token))


def _session(request: Any) -> dict[str, Any]:
    inner = getattr(request, "request", request)  # Starlette's own has none
    scope = getattr(inner, "scope", None) or {}
    found = scope.get("session")
    return dict(found) if found else {}


def _address(request: Any, limits: Limits) -> str:
    """The last public address that the proxies before a hosted app have seen; a user can forge only earlier ones."""
    if limits.hosted:
        passed = str(request.headers.get("x-forwarded-for") or "").split(",")
        for text in reversed(passed):
            if is_public(text.strip()):
                return text.strip()
    return str(request.client.host) if request.client else "?"
