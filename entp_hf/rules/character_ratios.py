"""F14: answers that are mostly figures, capitals, blanks, bullets or dots, where the prompt asks for none of them."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from ..text.prompt_intent import CODE, ELABORATE, LISTS, VERSE
from .row import Fields, Hit, Part, has_any

# Shares over which a text is odd (data-juicer, Gopher, NeMo Curator, DataFlow).
_BOUNDS = {"figures": 0.30, "words in capitals": 0.30, "blanks": 0.35, "lines with a bullet": 0.90,
           "lines that end in dots": 0.30}  # fmt: skip
_LEAST = 80  # characters; a shorter answer may be a number or an acronym
_NUMBERS = re.compile(
    r"\d|\bnumber|\bdigit|\bcalculat|\bcompute|\bsequence|\bseries|\bconvert|\bmultipl|\bsum\b|\badd\b|\bdates?\b"
    r"|\bdata|\btimes?\b|\btimeline|\bprice|\bequation|\bmath|\bfraction|\bbinary|\bphone|\bsolve|\barithmetic"
    r"|\bhow (?:many|much|long|old|far)|\bpercent|\baverage|\bmedian|\bprime|\bfactor|\bstatistic|\bscore|\bbudget"
    r"|\bpopulation|\bcensus|\byears?\b|\bpasswords?\b|\brandom|\bdumps?\b|\bhex|\blogs?\b|\bbytes?\b"
    r"|\btraces?\b|\bfiles?\b|\bcoordinates|\bpi\b|\broman|\baddress|\bcode|数|日期"
)
_CAPITALS = re.compile(
    r"\bupper|\bcapital|\bcaps\b|\bacronym|\babbreviat|\bheadline|\btitle|\bslogan|\bsign\b|\bposter|\bbanner"
    r"|\blicen[cs]e"
    r"|\bmorse|\bdna\b|\brna\b|\bsequence|\bsymbols?\b|\btickers?\b|\bgrade|\bshout|\bloud|\bcrossword|\bpuzzle"
    r"|\belements?\b"
    r"|\bcurrenc|\bcountr|\bairports?\b|\bstock|\boutline|\bschema|\btables?\b|\bredact|\bmultiple.choice|\btruth"
    r"|\bboolean|\blogic|\bcit(?:e|ation)|\bproto|\bdatabase"
)
_PROSE = re.compile(
    r"\b(?:essay|paragraphs?|story|stories|letter|e-?mail|article|speech|narrative|biography|obituary|diary|fable"
    r"|blog post|product description|summary|summari[sz]e)\b"
)
_NO_PROSE = re.compile(
    r"\blist|\bbullet|\bsteps?\b|\boutline|\bpoints?\b|\bideas?\b|\btips?\b|\btopics?\b|\btitles?\b"
    r"|\bheadlines?\b|\bways?\b"
    r"|\bkey\b|\bquestions?\b|\bnames?\b|\bplot\b|\bexamples?\b|\bcharacters?\b|\bitems?\b|\bsubject"
    r"|\bphrases?\b|\bwords?\b"
    r"|\bsentences?\b|\btable\b|\bplan\b|\bclassif|\bcategor|\bidentif|\bfeatures?\b|\badvantages?\b"
    r"|\breasons?\b|\bfacts?\b"
    r"|\b(?:two|three|four|five|six|\d+|top)\b|\bstrateg|\bhighlight|\bextract|\balternative|\bgive\b"
    r"|\binstructions?\b|\brecipe|\bsuggest|\benhance|\bimprove|\bhow to\b"
    r"|\banaly|\bbenefits?\b|\bkeywords?\b|\bsections?\b|\bthings?\b|\bmain\b|\bsources?\b"
)
_ROMAN = re.compile(r"[IVXLC]+[.):]?")
_DOTS = re.compile(r"\bdots?\b|\bnovel|\bstory|\bellips|\.\.\.|…|\bblank|\bfill|\bcomplete|\bsuspens|\bdialog|\bpoem")
_DRAWN = re.compile(
    r"\btables?\b|\btree\b|\bdiagram|\bchart|\bgraph|\bmap\b|\btruth|\bequation|\bexpression|\bformula|\blogic"
    r"|\bschedule|\btimeline|\boutline|\bmelod|\bchords?\b"
)
_BULLET = re.compile(r"(?m)^[ \t]*(?:[-*+•·▪‣]|\d{1,3}[.)])\s")


def character_ratios(row: Fields, threshold: float) -> Iterator[Hit]:
    """Figures, capitals, blanks, bullets or dots over their bound and not asked for; three of them drop the row.

    `threshold` scales every bound; the score is the largest share in units of its bound. Code is left out, and where
    the prompt asks for no prose, twice as much is allowed.
    """
    for part in row.answers:
        if len(part.text) < _LEAST:
            continue
        scores = {name: share / _BOUNDS[name] for name, share in _shares(part) if share / _BOUNDS[name] > threshold}
        if not scores or part.mask.spans or part.codelike:
            continue
        question = row.question_before(part)
        scale = 1.0 if ELABORATE.search(question) else 0.5
        scores = {name: score * (1 if "lines" in name else scale) for name, score in scores.items()}
        found = {n: score for n, score in scores.items() if score > threshold and not _wanted(n, question)}
        if found:
            score = max(found.values())
            detail = ", ".join(f"{dict(_shares(part))[name]:.0%} {name}" for name in found)
            yield Hit(part, detail=detail, score=score, action="drop" if len(found) >= 3 else "flag")


def _shares(part: Part) -> Iterator[tuple[str, float]]:
    text, words = part.text, part.words
    total = sum(map(len, words))
    if not total:
        return
    blanks = len(text) - total
    yield "blanks", blanks / len(text)
    if sum(map(str.isupper, words)) > 2:
        wide = [word for word in words if sum(map(str.isalpha, word)) > 2 and not _ROMAN.fullmatch(word)]
        if len(wide) >= 10:
            yield "words in capitals", sum(map(str.isupper, wide)) / len(wide)
    if has_any(text, string.digits):
        yield "figures", sum(map(text.count, "0123456789")) / total
    if text.count("\n") < 2:
        return
    bullets, dots = _BULLET.search(text) is not None, "..." in text or "…" in text
    lines = [line for line in text.split("\n") if line.strip()] if bullets or dots else []
    if len(lines) >= 3:
        if bullets:
            yield "lines with a bullet", sum(_BULLET.match(line) is not None for line in lines) / len(lines)
        if dots:
            yield "lines that end in dots", sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines)


def _wanted(name: str, question: str) -> bool:
    """Whether the prompt asks for it, or may: then the share says nothing."""
    if name == "lines with a bullet":
        return _PROSE.search(question) is None or _NO_PROSE.search(question) is not None
    if CODE.search(question) or _DRAWN.search(question):
        return True
    if name == "figures":
        return _NUMBERS.search(question) is not None
    if name == "words in capitals":
        return _CAPITALS.search(question) is not None or question.upper() == question
    if name == "blanks":
        return VERSE.search(question) is not None or LISTS.search(question) is not None
    return _DOTS.search(question) is not None or VERSE.search(question) is not None
