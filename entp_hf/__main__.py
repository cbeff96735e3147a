"""`python -m entp_hf` is `entp`."""

from .cli import main

main()
