"""The last release's command: `python -m entp_hf.sft` is passed on to `python -m entp_hf.training` for one release."""

import runpy
import sys

if __name__ == "__main__":
    sys.stderr.write("python -m entp_hf.sft is now python -m entp_hf.training; the old name goes with 0.3\n")
    runpy.run_module("entp_hf.training", run_name="__main__")
