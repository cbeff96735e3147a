"""A reverse proxy that serves another server under a path and strips the path, as nginx and JupyterHub do."""

from __future__ import annotations

import socket
import threading
import time

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

HOP = {"host", "connection", "transfer-encoding", "keep-alive", "upgrade", "content-length"}


class PrefixProxy:
    """Use as a context manager; `url` is the address of `target` under `prefix`, without a last slash."""

    def __init__(self, target: str, prefix: str) -> None:
        self.prefix = prefix
        self.client = httpx.AsyncClient(base_url=target, timeout=None, trust_env=False)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}{prefix}"
        methods = ["GET", "POST", "HEAD", "OPTIONS"]
        app = Starlette(routes=[Route("/{path:path}", self.forward, methods=methods)])
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)

    async def forward(self, request: Request):
        path = request.url.path
        if not path.startswith(self.prefix):
            return PlainTextResponse("outside the prefix", 404)
        query = "?" + request.url.query if request.url.query else ""
        headers = {k: v for k, v in request.headers.items() if k not in HOP} | {"host": request.headers["host"]}
        asked = self.client.build_request(
            request.method,
            (path.removeprefix(self.prefix) or "/") + query,
            headers=headers,
            content=await request.body(),
        )
        reply = await self.client.send(asked, stream=True)
        kept = {k: v for k, v in reply.headers.items() if k.lower() not in HOP or k.lower() == "content-length"}
        return StreamingResponse(reply.aiter_raw(), reply.status_code, kept)

    def __enter__(self) -> PrefixProxy:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
