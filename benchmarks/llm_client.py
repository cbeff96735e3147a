"""Throughput of the client: a server that takes 200 ms a reply and allows 32 calls at once, and the cache after that.

python benchmarks/llm_client.py --calls 2000 --json
python benchmarks/llm_client.py --calls 2000 --json --peer VENV/bin/python    # where bespokelabs-curator is installed

`ideal_share` is the ideal time, calls / 32 x 0.2 s, over the time taken. The server runs in a process of its own and
refuses a 33rd call at once with a 429. `warm_*` are of the same calls again. The peer makes the same calls against a
server of its own, with a cache of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from pathlib import Path

AT_ONCE, SECONDS = 32, 0.2
WORDS = "Merge these two rows into one and answer it. " * 20

PEER = """
import importlib.util, json, os, pathlib, sys, time
kept = pathlib.Path(importlib.util.find_spec("litellm").origin).parent / "litellm_core_utils" / "tokenizers"
os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(kept))  # its tokenizer would be downloaded otherwise
from bespokelabs import curator
url, calls, words = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def run():
    begun = time.perf_counter()
    llm = curator.LLM(model_name="gpt-4o-mini", backend="openai", backend_params={
        "base_url": url, "max_requests_per_minute": 10**6, "max_tokens_per_minute": 10**9,
        "max_concurrent_requests": 32})
    found = llm([f"{words}{i}" for i in range(calls)])
    return time.perf_counter() - begun, len(getattr(found, "dataset", found))
(cold, n), (warm, m) = run(), run()
print("RESULT " + json.dumps({"seconds": cold, "warm_seconds": warm, "replies": n}))
"""


def serve(pipe):
    """An aiohttp server; sends its port, then (calls, refused, most at once) for each message that it gets."""
    from aiohttp import web

    seen = {"calls": 0, "refused": 0, "flying": 0, "peak": 0}

    async def chat(request):
        body = await request.json()
        seen["calls"] += 1
        if seen["flying"] >= AT_ONCE:
            seen["refused"] += 1
            return web.json_response({"error": {"message": "too many"}}, status=429, headers={"Retry-After": "1"})
        seen["flying"] += 1
        seen["peak"] = max(seen["peak"], seen["flying"])
        await asyncio.sleep(SECONDS)
        seen["flying"] -= 1
        message = {"role": "assistant", "content": f"Answer to {str(body['messages'][-1:])[-40:]}"}
        return web.json_response(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 200, "completion_tokens": 10, "total_tokens": 210},
            }
        )

    async def main():
        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(site._server.sockets[0].getsockname()[1])
        while await asyncio.to_thread(pipe.recv):
            pipe.send(dict(seen))

    asyncio.run(main())


class Server:
    def __enter__(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        self.url = f"http://127.0.0.1:{self.pipe.recv()}/v1"
        return self

    def seen(self):
        self.pipe.send(True)
        return self.pipe.recv()

    def __exit__(self, *_):
        self.pipe.send(False)
        self.process.join(5)
        self.process.terminate()


def ours(calls):
    from entp_hf.llm.openai import OpenAIChat
    from entp_hf.llm.protocol import ChatRequest
    from entp_hf.llm.reply_cache import CachedChat

    with Server() as server, tempfile.TemporaryDirectory() as folder:
        client = CachedChat(
            OpenAIChat("gpt-4o-mini", server.url, concurrency=AT_ONCE), str(Path(folder, "replies.sqlite"))
        )
        requests = [ChatRequest((("user", f"{WORDS}{i}"),)) for i in range(calls)]
        client.chat(requests[:1])  # imports and the first connection are no part of a client's pace
        begun = time.perf_counter()
        replies = client.chat(requests[1:])
        cold, before = time.perf_counter() - begun, server.seen()
        begun = time.perf_counter()
        again = client.chat(requests)
        warm, after = time.perf_counter() - begun, server.seen()
    assert all(reply.ok for reply in replies) and all(reply.cached for reply in again)
    return {
        "ideal_share": round((calls - 1) / AT_ONCE * SECONDS / cold, 4),
        "seconds": round(cold, 2),
        "calls_made": before["calls"],
        "refused": before["refused"],
        "most_at_once": before["peak"],
        "warm_calls": after["calls"] - before["calls"],
        "warm_seconds": round(warm, 3),
    }


def peer(python, calls):
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        env = {
            **os.environ,
            "OPENAI_API_KEY": "none",
            "TELEMETRY_ENABLED": "false",
            "CURATOR_CACHE_DIR": folder,
            "CURATOR_DISABLE_RICH_DISPLAY": "1",
            "HF_HUB_OFFLINE": "1",
        }
        done = subprocess.run(
            [python, "-c", PEER, server.url, str(calls), WORDS],
            env=env,
            capture_output=True,
            text=True,
            timeout=580,
            check=False,
        )
        seen = server.seen()
    line = next((text for text in done.stdout.splitlines() if text.startswith("RESULT ")), None)
    if line is None:
        return {"failed": (done.stderr or done.stdout).strip()[-600:]}
    found = json.loads(line.removeprefix("RESULT "))
    found = {name: round(value, 3) for name, value in found.items()}
    share = round(calls / AT_ONCE * SECONDS / found["seconds"], 4)
    return {"ideal_share": share, **found, "calls_made": seen["calls"], "refused": seen["refused"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--peer", default="", help="a Python that has bespokelabs-curator")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    result = {"calls": args.calls, **ours(args.calls)}
    if args.peer:
        result["curator"] = peer(args.peer, args.calls)
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
