"""data-juicer's operators over texts, timed one by one; run by benchmarks/purge.py in an environment that has them.

    python -m venv dj && dj/bin/pip install py-data-juicer aiohttp
    python benchmarks/purge.py --peer dj/bin/python --json

The operators are those of its alpaca-cot English refine recipe that need no download, and the repairs that come
nearest to ours. Each is called in process on batches of 1,000 texts, without its own dataset engine.
"""

import json
import sys
import time
from importlib import import_module, metadata

FILTERS = {
    "alphanumeric_filter": {"tokenization": False, "min_ratio": 0.1},
    "character_repetition_filter": {"rep_len": 10, "max_ratio": 0.6},
    "maximum_line_length_filter": {"min_len": 20},
    "special_characters_filter": {"max_ratio": 0.4},
    "text_length_filter": {"min_len": 0},
    "words_num_filter": {"lang": "en", "tokenization": False, "min_num": 5},
    "word_repetition_filter": {"lang": "en", "tokenization": False, "rep_len": 10, "max_ratio": 0.3},
}
MAPPERS = ("fix_unicode_mapper", "whitespace_normalization_mapper", "clean_html_mapper", "clean_links_mapper",
           "clean_email_mapper", "clean_ip_mapper")  # fmt: skip


def operator(kind: str, name: str, options: dict):
    module = import_module(f"data_juicer.ops.{kind}.{name}")
    return getattr(module, "".join(part.title() for part in name.split("_")))(**options)


def timed(kind: str, name: str, options: dict, texts: list[str]) -> float:
    op = operator(kind, name, options)
    begun = time.process_time()
    for start in range(0, len(texts), 1000):
        part = texts[start : start + 1000]
        batch = {"text": list(part), "__dj__stats__": [{} for _ in part], "__dj__context__": [{} for _ in part]}
        if kind == "filter":
            list(op.process_batched(op.compute_stats_batched(batch)))
        else:
            op.process_batched(batch)
    return time.process_time() - begun


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines]
    seconds, failed = {}, {}
    jobs = [("filter", name, options) for name, options in FILTERS.items()]
    for kind, name, options in jobs + [("mapper", name, {}) for name in MAPPERS]:
        try:
            seconds[name] = round(timed(kind, name, options, texts), 3)
        except Exception as error:  # an operator whose own dependency is missing is named, not hidden
            failed[name] = f"{type(error).__name__}: {error}"[:200]
    version = metadata.version("py-data-juicer")
    print(json.dumps({"version": version, "rows": len(texts), "seconds": seconds, "failed": failed}))
