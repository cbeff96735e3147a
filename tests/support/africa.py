"""Two rows and a faithful merge of them, as a fusion makes them."""

from __future__ import annotations

from entp_hf.schema import new_row


def row(question: str, answer: str):
    return new_row([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


NILE = row("Find the longest river in Africa.", "The longest river is the Nile River, which runs for 6,650 km.")
LAKE = row("Name its biggest lake.", "Lake Victoria, shared by Kenya, Tanzania and Uganda, covers 68,800 km2.")
MERGED = row(
    "Name the longest river and the biggest lake of Africa.",
    "The longest river is the Nile River with 6,650 km. The biggest lake is Lake Victoria; it covers 68,800 km2 and "
    "is shared by Kenya, Tanzania and Uganda.",
)
PARENTS = [NILE, LAKE]


def answered(text: str):
    return row("Name the longest river and the biggest lake of Africa.", text)
