"""semhash or datatrove's MinHash over texts; run by benchmarks/near.py in an environment that has them.

near_peer.py NAME FOLDER: texts.jsonl there, and vectors.npy for semhash. Prints JSON: seconds, gone (ids), version.
"""

import contextlib
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path


def semhash(folder: Path) -> tuple[list[int], float]:
    import numpy as np
    from semhash import SemHash

    class PoolInput:
        def encode(self, sentences: list[str], **kwargs: object) -> np.ndarray:
            raise NotImplementedError("embeddings are given")

    records = [json.loads(line) for line in (folder / "texts.jsonl").read_text(encoding="utf-8").split("\n") if line]
    vectors = np.load(folder / "vectors.npy")
    begun = time.perf_counter()
    found = SemHash.from_embeddings(vectors, records, PoolInput(), columns=["text"]).self_deduplicate()
    return [int(duplicate.record["id"]) for duplicate in found.filtered], time.perf_counter() - begun


def datatrove(folder: Path) -> tuple[list[int], float]:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=5)
    place = {name: str(folder / name) for name in ("signatures", "buckets", "remove", "kept", "logs")}

    def read() -> JsonlReader:
        return JsonlReader(str(folder), glob_pattern="texts.jsonl", text_key="text", id_key="id")

    kept = JsonlWriter(place["kept"], compression=None)
    pipelines = [
        ([read(), MinhashDedupSignature(place["signatures"], config)], 1),
        ([MinhashDedupBuckets(place["signatures"], place["buckets"], config=config)], config.num_buckets),
        ([MinhashDedupCluster(place["buckets"], place["remove"], config=config)], 1),
        ([read(), MinhashDedupFilter(place["remove"]), kept], 1),
    ]
    begun = time.perf_counter()
    for number, (steps, tasks) in enumerate(pipelines):
        logs = f"{place['logs']}/{number}"
        LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=1, logging_dir=logs).run()
    seconds = time.perf_counter() - begun
    lines = [line for file in Path(place["kept"]).glob("*.jsonl") for line in file.open(encoding="utf-8")]
    stay = {int(json.loads(line)["id"]) for line in lines}
    total = sum(1 for _ in (folder / "texts.jsonl").open(encoding="utf-8"))
    return [i for i in range(total) if i not in stay], seconds


if __name__ == "__main__":
    name = sys.argv[1]
    with contextlib.redirect_stdout(sys.stderr):
        gone, seconds = {"semhash": semhash, "datatrove": datatrove}[name](Path(sys.argv[2]))
    print(json.dumps({"seconds": round(seconds, 2), "gone": gone, "version": version(name)}))
