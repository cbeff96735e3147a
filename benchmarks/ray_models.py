"""A model in the workers of Ray against the same in this process: python benchmarks/ray_models.py FILE --json

Rates the first rows by `logits`, and has the instructions of some answered at temperature 0; without caches. FILE as
for `entp build`. `largest_difference` is of two expected digits of a row; `seconds` are with loading the model, and on
Ray with its start.
"""

import argparse
import json
import time
from importlib.metadata import version

import numpy as np

from entp_hf import EntpConfig
from entp_hf.io.reader import read_rows
from entp_hf.llm.factory import make_client
from entp_hf.mix.fusion import direct_request
from entp_hf.mix.groups import Group
from entp_hf.rating.rate import Rate

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--answers", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    local = EntpConfig(limit=arguments.rows, max_new_tokens=128)
    rows = list(read_rows(arguments.file, local)[0])
    asks = [direct_request(Group(row, ()), local) for row in rows[: arguments.answers]]
    digits, replies, seconds = {}, {}, {}
    for engine in ("local", "ray"):  # local first, for Ray's workers take the CPUs
        config = EntpConfig(engine=engine, ray_workers=arguments.workers if engine == "ray" else 0)
        client, begun = make_client(config).client, time.perf_counter()
        values, _ = Rate(client, "logits")._expect(rows)
        digits[engine] = np.array([np.nan if value is None else value for value in values])
        replies[engine] = client.chat(asks)
        seconds[engine] = round(time.perf_counter() - begun, 1)
    here, there = digits["local"], digits["ray"]
    found = {
        "rows": len(rows),
        "workers": arguments.workers,
        "model": client.name,
        "logits": {
            "largest_difference": float(f"{np.nanmax(np.abs(here - there)):.2g}"),
            "equal": int((here == there).sum()),
            "null_alike": bool((np.isnan(here) == np.isnan(there)).all()),
        },
        "answers": {
            "asked": len(asks),
            "equal": sum(a == b for a, b in zip(replies["local"], replies["ray"], strict=True)),
        },
        "seconds": seconds,
        "ray": version("ray"),
        "torch": version("torch"),
    }
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=1))
