"""A chat-completion server on localhost whose faults are asked for by the requests themselves.

`[429,500] hello` as the last message is answered by 429 the first time, by 500 the second, and properly after that.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUS = re.compile(r"\d{3}")


class FaultServer(ThreadingHTTPServer):
    """Use as a context manager; `url` is the base URL, `calls` what came in, `peak` the most calls in flight."""

    daemon_threads = True
    request_queue_size = 256
    handler: type[BaseHTTPRequestHandler]

    def __init__(self, key="", model="", delay=0.0, retry_after="", refuse_schema=False, stall=3.0):
        super().__init__(("127.0.0.1", 0), self.handler)
        self.key, self.model, self.delay, self.retry_after = key, model, delay, retry_after
        self.refuse_schema, self.stall = refuse_schema, stall
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.calls: list[dict] = []
        self.seen: Counter[str] = Counter()
        self.flying = self.peak = 0
        self.lock = threading.Lock()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that hangs up is what some tests are about; anything else is printed as usual."""
        import sys

        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """What answers a call; `_answer` says how."""

    protocol_version = "HTTP/1.1"
    server: FaultServer

    def log_message(self, *_):
        """Nothing: the tests read `calls`."""

    def asked(self, body):
        return body["messages"][-1]["content"]

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = self.asked(body)
        server = self.server
        with server.lock:
            server.flying += 1
            server.peak = max(server.peak, server.flying)
            turn = server.seen[text]
            server.seen[text] += 1
            server.calls.append(
                {"body": body, "path": self.path, "key": self.headers.get("Authorization"), "at": time.monotonic()}
            )
        try:
            time.sleep(server.delay)
            faults = re.match(r"\[([\w,]+)\]", text)
            listed = faults[1].split(",") if faults else []
            self._answer(listed[turn] if turn < len(listed) else "", body, text)
        finally:
            with server.lock:
                server.flying -= 1

    def _answer(self, fault, body, text):
        server = self.server
        if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
            return self._send(401, {"error": {"message": f"wrong key: {self.headers.get('Authorization')}"}})
        if server.model and body.get("model") != server.model:
            return self._send(404, {"error": {"message": f"no model {body.get('model')}"}})
        if server.refuse_schema and "response_format" in body:
            return self._send(400, {"error": {"message": "response_format is not supported"}})
        if STATUS.fullmatch(fault):
            headers = {"Retry-After": server.retry_after} if server.retry_after and fault == "429" else {}
            return self._send(int(fault), {"error": {"message": f"asked for {fault}"}}, headers)
        if fault == "drop":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if fault == "stall":
            time.sleep(server.stall)
        if fault == "garbage":
            return self._send(200, b'{"choices": [{"mess')
        if fault == "notchat":
            return self._send(200, {"hello": "world"})
        content = {"empty": "", "length": "cut off in the mid", "json": '{"a": 1', "filter": "no"}.get(fault)
        content = f"echo: {text}" if content is None else content
        reason = {"length": "length", "filter": "content_filter"}.get(fault, "stop")
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": content}}
        usage = {"prompt_tokens": len(text), "completion_tokens": len(content), "total_tokens": 0}
        answer = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}
        return self._send(200, answer | ({"usage": usage} if fault != "nousage" else {}))

    def _send(self, status, content, headers=None):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


FaultServer.handler = Handler
