"""CPU seconds until `entp --help`, an error about a file, and `import entp_hf` are done, each in a new process.

    python benchmarks/startup.py --json

The smallest of `--runs` runs: what else the machine does can only add to it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

COMMANDS = {
    "help_cpu_seconds": ["-m", "entp_hf", "--help"],
    "error_cpu_seconds": ["-m", "entp_hf", "build", "no-such-file.jsonl", "-o", "no-such-folder"],
    "import_cpu_seconds": ["-c", "import entp_hf"],
}


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    found = {name: round(min(cpu_seconds(c) for _ in range(args.runs)), 3) for name, c in COMMANDS.items()}
    print(json.dumps(found) if args.json else "\n".join(f"{name} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
