from importlib import resources


def pool_files() -> list[str]:
    """The shipped pool: single turns in Alpaca's form and conversations in the messages form."""
    return [str(resources.files("entp_hf.data").joinpath(name)) for name in ("pool.jsonl", "chats.jsonl")]
