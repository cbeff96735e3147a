"""A server on localhost that speaks the generate routes of Text Generation Inference; words stand for tokens.

Written after TGI's published API: `/` answers with a list, `/generate` with an object, errors carry `error_type`.
"""

from __future__ import annotations

import json

from fault_server import FaultServer, Handler


class _Generate(Handler):
    server: TGIServer

    def asked(self, body):
        return body["inputs"]

    def _answer(self, fault, body, text):
        if fault in ("drop", "stall", "garbage"):
            return super()._answer(fault, {**body, "model": "m"}, text)
        if fault == "429":
            return self._send(429, {"error": "Model is overloaded", "error_type": "overloaded"})
        if fault:
            return self._send(int(fault), {"error": f"asked for {fault}", "error_type": "generation"})
        asked = body["parameters"]
        if asked.get("grammar") and self.server.refuse_schema:
            return self._send(422, {"error": "grammar is not supported", "error_type": "validation"})
        said = f"echo: {text}"
        if asked.get("grammar"):
            assert asked["grammar"]["type"] == "json"
            said = json.dumps({name: f"the {name}" for name in asked["grammar"]["value"]["properties"]})
        words = said.split(" ")
        drawn = words[: asked["max_new_tokens"]]
        details = {
            "finish_reason": "length" if len(drawn) < len(words) else "eos_token",
            "generated_tokens": len(drawn),
            "seed": None,
            "tokens": [{"id": i, "text": w, "logprob": -0.1, "special": False} for i, w in enumerate(drawn)],
            "prefill": [{"id": i, "text": w, "logprob": None} for i, w in enumerate(text.split(" "))]
            if asked.get("decoder_input_details")
            else [],
        }
        answer = {"generated_text": " ".join(drawn), "details": details}
        return self._send(200, [answer] if self.path == "/" else answer)


class TGIServer(FaultServer):
    """`root` is what TGIChat takes: the server without a path."""

    handler = _Generate

    @property
    def root(self):
        return f"http://127.0.0.1:{self.server_port}"
