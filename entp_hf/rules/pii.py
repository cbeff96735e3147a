"""F16, F17: personal data and secrets, replaced by typed placeholders that are the same all over a row."""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable, Iterator, Sequence

from .row import Fields, Hit, Part, has_any

_EMAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b")
_IP = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")
_CARD = re.compile(
    r"(?<![\d.,-])(?<!\d )(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?"
    r"|\d{4}([ -])\d{6}\2\d{5})(?![ -]?\d)"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_SSN = re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_PHONE = re.compile(
    r"(?<![\w.+/=-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,11}|\(\d{3}\) ?\d{3}[ .-]\d{4}"
    r"|\d{3}[.-]\d{3}[.-]\d{4})(?![\w-]*\d)"
)
_EXAMPLE = re.compile(
    r"(?:^|[@.])(?:example|test|invalid|localhost|domain|email|yourdomain|company|sample|yourcompany|mail|acme"
    r"|abc|xyz|some\w+)\.\w{2,}$|^(?:your|name|user|email|john\.?doe|jane\.?doe|example|info|support|contact|someone"
    r"|you|me|my_\w*|alerts?|offers?|no-?reply|news|sales|help|billing|service|admin|office|hello|team|press|jobs"
    r"|careers|orders|notifications?)[\w.+-]*@",
    re.I,
)


def _luhn(digits: str) -> bool:
    doubled = [int(d) * 2 if i % 2 else int(d) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return (
        13 <= len(digits) <= 19
        and digits[0] in "3456"
        and len(set(digits)) > 3
        and digits not in _KNOWN_TESTS
        and _luhn(digits)
    )


_KNOWN_TESTS = {"4111111111111111", "4242424242424242", "5555555555554444", "378282246310005", "4012888888881881"}


def _is_iban(text: str) -> bool:
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_public_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # is_global leaves out the private and documentation ranges (RFC 1918, RFC 5737).
    return (
        address.is_global
        and not address.is_multicast
        and text not in ("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.2.3.4")
        and text[0] != "0"
    )


def _is_phone(text: str) -> bool:
    import phonenumbers

    digits = re.sub(r"\D", "", text)
    if (
        re.search(r"555[ .)-]*\d{3}|555[ .-]?01\d\d", text)
        or len(set(digits)) < 4
        or _RUN.search(digits)
        or digits[-7:-4] == "555"
    ):
        return False
    try:
        number = phonenumbers.parse(text, None if text.startswith("+") else "US")
    except phonenumbers.NumberParseException:
        return False
    if phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.TOLL_FREE:
        return False  # a company's, not a person's
    return phonenumbers.is_valid_number(number)


_RUN = re.compile(r"123456|234567|345678|456789|567890|987654|876543")


def _is_email(text: str) -> bool:
    return not _EXAMPLE.search(text)


_Kind = tuple[str, re.Pattern[str], Callable[[str], bool], str]
_NETWORK = re.compile(r"\bip(?:v[46])?\b|\bsubnet|\bnetmask")  # there addresses are what the task is about
_KINDS: tuple[_Kind, ...] = (
    ("EMAIL", _EMAIL, _is_email, "@"),
    ("IBAN", _IBAN, _is_iban, ""),
    ("CARD", _CARD, _is_card, ""),
    ("ID", _SSN, lambda text: text not in ("123-45-6789", "078-05-1120"), "-"),
    ("PHONE", _PHONE, _is_phone, ""),
    ("IP", _IP, _is_public_ip, "."),
)
_DIGITS, _ACCOUNT = re.compile(r"\d[\d .()-]{6,}\d"), re.compile(r"[A-Z]{2}\d{2}[ A-Z0-9]{11}")
_SECRET = re.compile(
    r"\bsk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}\b"
    r"|\bgithub_pat_\w{40,}|\bhf_[A-Za-z0-9]{30,}\b"
    r"|\bxox[abprs]-[\w-]{20,}|\bAIza[\w-]{35}|\bglpat-[\w-]{20,}|\bnpm_[A-Za-z0-9]{36}|\bsk_live_[A-Za-z0-9]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
)
_SECRET_CUES = (
    "sk-", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "xox", "AIza", "glpat-",
    "npm_", "sk_live_", "PRIVATE KEY", "eyJ",
)  # fmt: skip


def pii(row: Fields, threshold: float) -> Iterator[Hit]:
    """E-mail addresses, cards, IBANs, US ids, phones, public IPs that pass their check; examples are left alone.

    Replaced by [EMAIL_1] and the like; the same value gets the same number in all fields of the row.
    """
    if not _suspect(row.text):
        return
    numbers: dict[tuple[str, str], int] = {}
    kinds = [kind for kind in _KINDS if kind[0] != "IP" or not row.asks(_NETWORK)]
    for part in row.prose_parts:
        if _suspect(part.text):
            if hit := _redacted(part, numbers, kinds):
                yield hit


def _suspect(text: str) -> bool:
    if "@" in text:
        return True
    if text.isascii() and not has_any(text, string.digits):
        return False
    return _DIGITS.search(text) is not None or _ACCOUNT.search(text) is not None


def _redacted(part: Part, numbers: dict[tuple[str, str], int], kinds: Sequence[_Kind]) -> Hit | None:
    work, first, seen = part, None, []
    for kind, pattern, valid, cue in kinds:
        if cue not in work.text:
            continue

        def label(match: re.Match[str], kind: str = kind, valid: Callable[[str], bool] = valid) -> str:
            value = match.group()
            if not valid(value):
                return value
            seen.append(kind)
            return f"[{kind}_{numbers.setdefault((kind, value), 1 + sum(k == kind for k, _ in numbers))}]"

        if hit := work.replaced(pattern, label):
            first = first or (hit.start, hit.end)
            work = Part(part.field, part.turn, hit.text or "")
    if first is None:
        return None
    # The value itself stays out of the findings.
    return Hit(part, *first, ", ".join(seen), text=work.text)


def secret(row: Fields, threshold: float) -> Iterator[Hit]:
    """Keys, tokens and private keys, replaced by [SECRET]: the one rule that also reaches into code."""
    text = row.text
    if not has_any(text, _SECRET_CUES):
        return
    for part in row.parts:
        found = list(_SECRET.finditer(part.text))
        if found:
            new = _SECRET.sub("[SECRET]", part.text)
            yield Hit(part, *found[0].span(), f"{found[0].group()[:4]}… ({len(found)})", text=new)
