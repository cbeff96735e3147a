"""What `entp build --dry-run` says against what the run then uses, with the embedded model and an empty cache.

python benchmarks/dry_run.py --groups 16 --sample 4 --json

The pool is the shipped one, all of it, or `--pool FILE`. `ratio` is predicted over used.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from entp_hf.config import EntpConfig
from entp_hf.data import pool_files
from entp_hf.pipeline.plan import plan
from entp_hf.pipeline.run import run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", default=pool_files()[0])
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--sample", type=int, default=4, help="groups asked by the dry run; the run has them cached")
    parser.add_argument("--max-new-tokens", type=int, default=160)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    models = EntpConfig().cache_path() / "models"
    with tempfile.TemporaryDirectory(prefix="entp-dry-") as folder:
        if models.is_dir():
            Path(folder, "models").symlink_to(models.resolve(), target_is_directory=True)
        config = EntpConfig(
            raters=[],
            pool="all",
            cache_dir=folder,
            max_groups=args.groups,
            target_size=4 * args.groups,
            rounds=1,
            retries=0,
            max_new_tokens=args.max_new_tokens,
        )
        said = {what: least for what, least, _ in plan(args.pool, config, exact=True, sample=args.sample).lines}
        used = run(args.pool, config).manifest["tokens"]
    names = {"calls": "LLM calls", "prompt": "prompt tokens, expected", "completion": "reply tokens, expected"}
    result = {
        "groups": args.groups,
        "sample": args.sample,
        "predicted": {kind: round(said[name]) for kind, name in names.items()},
        "used": {kind: used[kind] for kind in names},
        "ratio": {kind: round(said[name] / used[kind], 4) for kind, name in names.items()},
    }
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
