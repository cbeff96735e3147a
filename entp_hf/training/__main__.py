"""`python -m entp_hf.training` is `entp train`, for `accelerate launch -m`, `torchrun -m` and the like."""

import sys
from importlib.metadata import entry_points

if __name__ == "__main__":
    sys.argv[:] = ["entp", "train", *sys.argv[1:]]
    (entp,) = entry_points(group="console_scripts", name="entp")  # the command line stands above this folder
    entp.load()()
