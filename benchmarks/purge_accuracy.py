"""Precision and recall of the purge on the shipped, labelled pool: python benchmarks/purge_accuracy.py --json"""

import argparse
import json
import time

from entp_hf.cli.demo import purge_accuracy
from entp_hf.config import EntpConfig

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    found = purge_accuracy(EntpConfig())
    found["seconds"] = round(time.perf_counter() - begun, 3)
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=1))
