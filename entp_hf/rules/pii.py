"""F16, F17: personal data and secrets, replaced by typed placeholders that are the same all over a row.

The shape of a number is no proof: versions, clauses, part numbers, barcodes and order references look like addresses,
identifiers, cards and telephones. So beside the shape a value needs a checksum (card, IBAN) or a cue in its
neighborhood, and none is taken after a word that says what else it is.
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable, Iterator, Sequence

from .row import Fields, Hit, Part, has_any

_EMAIL = re.compile(r"(?<![\w.+@-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b")
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


_FILE = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|ico|pdf|js|mjs|ts|css|html?|py|json|ya?ml|md|txt|so|tar|gz|zip)$", re.I
)
# Accounts of machines, as in git@host and root@host.
_ACCOUNTS = re.compile(
    r"(?:git|hg|svn|root|ubuntu|ec2-user|deploy|pi|postgres|www-data|jenkins|vagrant|centos|debian)@", re.I
)
_REMOTE = re.compile(r"\b(?:ssh|scp|sftp|rsync|mosh|git clone|ssh-copy-id|remote add \w+)\b[^\n]{0,60}\Z", re.I)
_IN_ADDRESS = re.compile(r"\w://[^\s@]{0,80}\Z|\bMessage-ID: ?<?\Z|\bxmpp:\Z", re.I)

# Words before a number that say what else it is: then its shape alone is no proof of personal data.
_OTHER_NUMBER = re.compile(
    r"\b(?:versions?|releases?|builds?|steps?|clauses?|sections?|tables?|figures?|chapters?|parts?"
    r"|rev(?:ision)?s?|updates?"
    r"|patch(?:es)?|firmware|packages?|lib\w*|drivers?|kernels?|paragraphs?|articles?|annex|standards?|items?|models?"
    r"|orders?|consignments?|parcels?|shipments?|tracking|invoices?|tickets?|cases?|files?|dockets?|ref(?:erence)?s?"
    r"|polic(?:y|ies)|permits?|batch(?:es)?|lots?|spares?|skus?|serials?|catalog(?:ue)?|codes?|barcodes?|eans?"
    r"|upcs?|gtins?"
    r"|isbns?|issns?|imeis?|dois?|products?|assets?|customs|contracts?|bookings?|licen[cs]es?|patents?|forms?"
    r"|drawings?"
    r"|samples?|sensors?|devices?|machines?|bolts?|timestamps?|stamps?|epoch|ids?|hash|coordinates?|latitude|longitude"
    r"|oids?|mibs?|profile|rules?|lemma|theorem|exercises?|problems?|questions?|lines?|entry|record"
    r"|bestell\w*|rechnung\w*|auftrag\w*|artikel\w*|teil\w*|schritt\w*|abschnitt\w*|fassung"
    r"|pedido|factura|pieza|versi[oó]n|paso|secci[oó]n|commande|facture|pi[eè]ce|[eé]tape|colis|commit"
    r"|订单|编号|型号|版本|条码)"
    r"(?:[ -]?(?:no\.?|nos\.?|numbers?|codes?|ids?|nummer|nr\.?|n[uú]mero|num[eé]ro|is|was|are|to|and|or|from"
    r"|than|of|at|has"
    r"|reads?|says))*[ ]?[:#=]?[ ]?[\"'(v]?\Z|\bv\.?\Z",
    re.I,
)
_REACH = 60  # characters before a value, and half as many after it, that may hold a cue
_CUES = {
    "PHONE": re.compile(
        r"\b(?:(?:tele)?phones?|call(?:ed|s|ing)?|tel|mobile|cell(?:phone)?|fax|dial|text(?: me)?|sms|whatsapp"
        r"|contact|reach"
        r"|ring|hotline|extension|landline|voicemail|handy|telefon\w*|rufen|ruf|anruf\w*|erreich\w*|mobil\w*|festnetz"
        r"|tel[eé]fono|m[oó]vil|celular|ll[aá]m\w*|t[eé]l[eé]phone|appel\w*|joindre|portable|telefone|ligue|chiam\w*"
        r"|cellulare|numero di telefono|bel|telefoon)\b|\[EMAIL_\d+\]|@[\w-]+\."
        r"|\b(?:my|her|his|their|our|your) numbers?\b"
        r"|电话|手机|電話|携帯|전화|тел"
        r"|звон|هاتف|फ़ोन",
        re.I,
    ),
    "CARD": re.compile(
        r"\b(?:cards?|visa|master ?card|amex|american express|credit|debit|cvv|cvc|expir\w*|karten?"
        r"|kreditkarte\w*|tarjeta"
        r"|carte|cart[aã]o|paid with|pay with|payment)\b|卡|カード|카드|карт",
        re.I,
    ),
    "ID": re.compile(
        r"\b(?:ssns?|social(?: security)?|s\.s\.n|tax(?:payer)? ?(?:id|number)?|itin|national id"
        r"|security (?:number|no)"
        r"|seguro social|sozialversicherung\w*|sécurité sociale)\b|社会安全|社保",
        re.I,
    ),
    "IP": re.compile(
        r"\b(?:ips?|ipv4|ip-?address\w*|address(?:es)?|hosts?|servers?|ping(?:ed)?|ssh|log(?:ged|in|s)?(?: in)?"
        r"|connect\w*"
        r"|clients?|request\w*|visitors?|gateway|router|firewall|proxy|vpn|dns|whitelist\w*|block(?:ed|ing)?"
        r"|bann?ed|traced?"
        r"|traffic|remote|login|logins|scan(?:ned|s)?|attack\w*|came from|adresse\w*|direcci[oó]n|anmeldung"
        r"|serveur|servidor)"
        r"\b|https?://|地址|服务器|адрес",
        re.I,
    ),
}  # fmt: skip


def _around(text: str, start: int, end: int) -> tuple[str, str]:
    """The text before and after a value, within reach and in the same paragraph."""
    before = text[max(0, start - _REACH) : start].rpartition("\n\n")[2]
    return before, text[end : end + _REACH // 2].partition("\n")[0]


def _cued(kind: str, before: str, after: str) -> bool:
    return _CUES[kind].search(before) is not None or _CUES[kind].search(after) is not None


def _is_other(before: str) -> bool:
    return _OTHER_NUMBER.search(before) is not None


def _luhn(digits: str) -> bool:
    doubled = [int(d) * 2 if i % 2 else int(d) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


# Issuers' first digits and lengths: Visa, Mastercard, American Express, Discover, JCB, Diners Club, UnionPay.
_ISSUED = re.compile(
    r"4\d{15}|4\d{18}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35[2-8]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}"
    r"|62\d{14,17}"
)


def _is_card(text: str, before: str, after: str) -> bool:
    digits = re.sub(r"\D", "", text)
    if len(set(digits)) <= 3 or digits in _KNOWN_TESTS or not _luhn(digits) or not _ISSUED.fullmatch(digits):
        return False
    return _cued("CARD", before, after) or not _is_other(before)


_KNOWN_TESTS = {"4111111111111111", "4242424242424242", "5555555555554444", "378282246310005", "4012888888881881"}


def _is_iban(text: str, before: str, after: str) -> bool:
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_public_ip(text: str, before: str, after: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # is_global leaves out the private and documentation ranges (RFC 1918, RFC 5737).
    if not address.is_global or address.is_multicast or text[0] == "0" or text in _KNOWN_IPS:
        return False
    port = re.match(r":\d{2,5}\b|/\d{1,2}\b", after)
    return not _is_other(before) and (port is not None or _cued("IP", before, after[:20]))


_KNOWN_IPS = ("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.2.3.4", "9.9.9.9")


def _is_id(text: str, before: str, after: str) -> bool:
    return text not in ("123-45-6789", "078-05-1120") and _cued("ID", before, after)


def _is_phone(text: str, before: str, after: str) -> bool:
    """A number with a cue, or in the international form, or in brackets, or on a line of its own.

    A cue is a word such as "call", or an e-mail address beside it. With one, any possible number counts; without, a
    valid one.
    """
    import phonenumbers

    digits = re.sub(r"\D", "", text)
    if (
        re.search(r"555[ .)-]*\d{3}|555[ .-]?01\d\d", text)
        or len(set(digits)) < 4
        or _RUN.search(digits)
        or digits[-7:-4] == "555"
        or re.fullmatch(r"\+\d{1,3}\.\d{4,}", text)  # a coordinate
        or _is_other(before)
    ):
        return False
    try:
        number = phonenumbers.parse(text, None if text.startswith("+") else "US")
    except phonenumbers.NumberParseException:
        return False
    if phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.TOLL_FREE:
        return False  # a company's, not a person's
    if _cued("PHONE", before, after):
        return phonenumbers.is_possible_number(number)
    alone = not before.rpartition("\n")[2].strip() and not after.strip()
    return (text[0] in "+(" or alone) and phonenumbers.is_valid_number(number)


_RUN = re.compile(r"123456|234567|345678|456789|567890|987654|876543")


def _is_email(text: str, before: str, after: str) -> bool:
    """An address of a person: no example, no account of a machine, no part of a URL or of an SSH target."""
    if _EXAMPLE.search(text) or _FILE.search(text) or _ACCOUNTS.match(text):
        return False
    target = re.match(r":[\w~/.-]", after) is not None  # scp's host:path
    return not (target or _REMOTE.search(before) or _IN_ADDRESS.search(before))


# Label, shape, check of (value, text before, text after), a character that every value has.
_Kind = tuple[str, re.Pattern[str], Callable[[str, str, str], bool], str]
_NETWORK = re.compile(r"\bip(?:v[46])?\b|\bsubnet|\bnetmask")  # there addresses are what the task is about
_KINDS: tuple[_Kind, ...] = (
    ("EMAIL", _EMAIL, _is_email, "@"),
    ("IBAN", _IBAN, _is_iban, ""),
    ("CARD", _CARD, _is_card, ""),
    ("ID", _SSN, _is_id, "-"),
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

        def label(
            match: re.Match[str],
            kind: str = kind,
            valid: Callable[[str, str, str], bool] = valid,
            text: str = work.prose,
        ) -> str:
            value = match.group()
            if not valid(value, *_around(text, *match.span())):
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
