"""Speed and memory of chat models in this process: python benchmarks/local_engine.py --json

For each model, number format and batch: tokens a second of prompts and of replies, and the peak of memory, each in a
process of its own, on an idle machine and (`busy`) beside a process that computes all the time. llama.cpp is measured
beside transformers where the package xllamacpp is installed (`pip install xllamacpp`); the product does not use it. A
model that is not on this machine is left out. `load`: the system's load average before, so that figures of a machine
that others use can be told.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from entp_hf.config import SMOLLM2, WRITER, EntpConfig
from entp_hf.errors import EntpError
from entp_hf.models.hardware import has_bfloat16
from entp_hf.models.known import here

WORDS = "the river runs past an old mill where three friends used to count boats and write down their names".split()


def prompt(number: int, words: int) -> str:
    return f"{number}. " + " ".join(WORDS[(number + i * 7) % len(WORDS)] for i in range(words))


def by_transformers(model: str, dtype: str, batch: int, words: int, new: int) -> dict[str, float]:
    import torch

    from entp_hf.llm.local import LocalChat

    engine = LocalChat(model, device="cpu", cache_dir=str(EntpConfig().cache_path()), dtype=dtype).engine()
    rows = [engine.tokenizer(prompt(i, words))["input_ids"] for i in range(batch)]
    width = min(map(len, rows))
    tokens = torch.tensor([row[:width] for row in rows])

    def forward(ids: Any, cache: Any) -> Any:
        return engine.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

    with torch.inference_mode():
        forward(tokens[:, :8], None)
        read, out = timed(lambda: forward(tokens, None))
        cache = out.past_key_values

        def write() -> None:
            for _ in range(new):
                forward(tokens[:, :1], cache)

        written, _ = timed(write)
    return {"prompt": batch * width / read, "reply": batch * new / written}


def by_llama(model: str, batch: int, words: int, new: int) -> dict[str, float]:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = here(model, str(EntpConfig().cache_path()))
    params.hostnames = [f"{tempfile.mkdtemp()}/llama.sock"]  # a file, not a port
    params.n_ctx, params.n_parallel, params.verbosity = batch * 1024, batch, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    server = xllamacpp.Server(params)

    def ask(tokens: int) -> tuple[float, int]:
        found: list[dict[str, Any]] = []

        def one(number: int) -> None:
            asked = {"prompt": prompt(number, words), "n_predict": tokens, "ignore_eos": True, "cache_prompt": False}
            reply = server.handle_completions(asked)
            found.append(reply if isinstance(reply, dict) else json.loads(reply))

        threads = [threading.Thread(target=one, args=(i,)) for i in range(batch)]
        seconds, _ = timed(lambda: ([t.start() for t in threads], [t.join() for t in threads]))
        return seconds, sum(reply["timings"]["prompt_n"] for reply in found)

    read, count = ask(1)
    both, _ = ask(new)
    return {"prompt": count / read, "reply": batch * (new - 1) / max(both - read, 1e-9)}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


def spin() -> None:
    while True:
        sum(i * i for i in range(100_000))


def child(args: argparse.Namespace) -> None:
    """One variant; prints a line of JSON and ends at once, since llama.cpp's threads would not."""
    if args.engine == "llama.cpp":
        found = by_llama(args.model, args.batch, args.words, args.new)
    else:
        found = by_transformers(args.model, args.dtype, args.batch, args.words, args.new)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({f"{name}_tokens_per_second": round(value, 1) for name, value in found.items()}
                     | {"peak_mb": round(peak)}))  # fmt: skip
    sys.stdout.flush()
    os._exit(0)


def measured(engine: str, model: str, dtype: str, batch: int, busy: bool, args: argparse.Namespace) -> dict[str, Any]:
    other = multiprocessing.get_context("spawn").Process(target=spin, daemon=True) if busy else None
    load = os.getloadavg()[0]
    if other:
        other.start()
    command = [sys.executable, __file__, "--child", "--engine", engine, "--model", model, "--dtype", dtype,
               "--batch", str(batch), "--words", str(args.words), "--new", str(args.new)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})
    if other:
        other.kill()
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found = json.loads(lines[-1]) if lines else {"error": (done.stderr.strip().splitlines() or ["?"])[-1][:200]}
    return {
        "model": model,
        "engine": engine,
        "dtype": dtype,
        "batch": batch,
        "busy": busy,
        "load": round(load, 1),
        **found,
    }


def variants(models: list[str], batches: list[int]) -> list[tuple[str, str, str, int]]:
    found = []
    for model in models:
        where = here(model, str(EntpConfig().cache_path()))
        if where is None:
            print(f"{model} is not on this machine: left out", file=sys.stderr)
            continue
        for batch in batches:
            dtypes = ["float32"] + ["bfloat16"] * has_bfloat16("cpu")
            found += [("transformers", model, dtype, batch) for dtype in dtypes]
        try:
            import xllamacpp  # noqa: F401

            found += [("llama.cpp", model, Path(where).stem[-6:], batch) for batch in batches]
        except ImportError:
            print("xllamacpp is not installed: llama.cpp is left out", file=sys.stderr)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=f"{SMOLLM2},{WRITER}", help="names of entp models list, with commas")
    parser.add_argument("--batches", default="1,8,16")
    parser.add_argument("--words", type=int, default=250, help="of a prompt")
    parser.add_argument("--new", type=int, default=16, help="tokens of a reply")
    parser.add_argument("--idle-only", action="store_true", help="not beside a busy process")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    for name in ("--engine", "--model", "--dtype"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        try:
            child(args)
        except EntpError as error:
            sys.exit(str(error))
    results = []
    for busy in (False,) if args.idle_only else (False, True):
        for variant in variants(args.models.split(","), [int(text) for text in args.batches.split(",")]):
            results.append(measured(*variant, busy, args))
            print(json.dumps(results[-1]), file=sys.stderr)
    if args.json:
        print(json.dumps({"cpus": os.cpu_count(), "bfloat16": has_bfloat16("cpu"), "results": results}))
