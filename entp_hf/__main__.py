"""`python -m entp_hf` is `entp`."""

from .cli.app import main

main()
