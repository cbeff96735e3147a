"""F6-F8, F19, F22: who speaks in an answer, and what is not its own words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..text.prompt_intent import DIALOGUE
from .masks import FILLER
from .phrases import (
    DISCLAIMER,
    IDENTITY,
    PAGE_CUES,
    PAGE_LINE,
    REFUSAL,
    REFUSAL_ASCII,
    REFUSAL_CUES,
    REFUSAL_CUES_BEYOND,
)
from .row import Fields, Hit, Part, has_any, shown

_SENTENCE = re.compile(r"[^.!?。！？\n]+(?:[.!?。！？]+(?:[\"”’)]+)?|\n|\Z)")


def refusal(row: Fields, threshold: float) -> Iterator[Hit]:
    """An answer that declines as a whole: it says so at its start and has at most `threshold` words in all."""
    for part in row.answers:
        if len(part.text) > 1200:
            continue
        head = part.lower[:220]
        cued = has_any(head, REFUSAL_CUES) or (not head.isascii() and has_any(head, REFUSAL_CUES_BEYOND))
        if not cued or part.length > threshold:
            continue
        phrases = REFUSAL_ASCII if head.isascii() else REFUSAL
        found = next((m for p in phrases if (m := p.search(head))), None)
        if found is None or found.start() >= 80:
            continue
        question = row.question_before(part)
        wanted = DIALOGUE.search(question) or _WRITTEN.search(question)
        if not wanted or DISCLAIMER.search(head) or IDENTITY.search(head):
            yield Hit(part, *found.span(), shown(found.group()), float(part.length))


_WRITTEN = re.compile(
    r"\b(?:rewrite|reword|rephrase|translat|paraphras|apolog|sorry|decline|reject|refus|e-?mail|letter|reply"
    r"|respond|story|sentence|customer"
    r"|complete|classif|correct|edit|convert|sentiment|chat ?bot|message|poem|song|quote|lyric)"
)


def identity_leak(row: Fields, threshold: float) -> Iterator[Hit]:
    """An answer that names its model, maker or cutoff: the sentence goes where others are left, else a flag.

    "As an AI" without a name is only flagged, and only where the answer is no refusal: that has its own rule.
    """
    for part in row.answers:
        lower = part.lower
        if not has_any(lower, _IDENTITY_CUES) or len(lower) != len(part.text):
            continue
        named, said = IDENTITY.search(lower), DISCLAIMER.search(lower)
        if not (named or said) or _ABOUT_MODELS.search(row.question_before(part)):
            continue
        if named:
            yield _without_identity(part, named)
        elif said and not any(p.search(lower[:220]) for p in REFUSAL):
            yield Hit(part, *said.span(), shown(said.group()))


def _without_identity(part: Part, named: re.Match[str]) -> Hit:
    sentences = [m for m in _SENTENCE.finditer(part.prose) if m.group().strip()]
    leaking = [m for m in sentences if IDENTITY.search(m.group().lower())]
    left = sum(len(m.group().split()) for m in sentences if m not in leaking)
    if not leaking or left < 5 or any(FILLER in m.group() for m in leaking):
        return Hit(part, *named.span(), shown(named.group()))
    text = part.text
    for match in reversed(leaking):
        text = text[: match.start()] + text[match.end() :]
    return Hit(part, *leaking[0].span(), shown(leaking[0].group().strip()), text=text.strip())


_ABOUT_MODELS = re.compile(
    r"\bwho (?:are|made|created|trained) you|your name|are you (?:an? )?(?:ai|chatgpt|human)|chatgpt"
    r"|language model|openai|\bai\b"
    r"|\bgpt|你是谁|claude|gemini"
)
_IDENTITY_CUES = (
    "gpt", "openai", "open ai", "claude", "anthropic", "gemini", "bard", "llama", "deepseek", "qwen", "mistral",
    "copilot", "cutoff", "cut-off", "language model", "an ai", "my knowledge", "my last", "my training",
    "人工智能", "语言模型", "知识截止", "文心", "通义", "豆包", "modelo de lenguaje", "modèle de langage",
    "sprachmodell", "训练",
)  # fmt: skip
_ROLE = re.compile(
    r"(?m)^[ \t]*(?:#{1,4}[ \t]*|\*\*)?(Human|User|Assistant|AI|Q|A|Usuario|Asistente|Benutzer|Utilisateur"
    r"|用户|助手|人类|ユーザー)(?:\*\*)?[ \t]*[:：]"
)
_FOREIGN = frozenset(("human", "user", "q", "usuario", "benutzer", "utilisateur", "用户", "人类", "ユーザー"))


def role_confusion(row: Fields, threshold: float) -> Iterator[Hit]:
    """Turns of other speakers inside an answer: cut at the first of the asker's; dialogues are meant to have them."""
    for part in row.answers:
        if ":" not in part.text and "：" not in part.text:
            continue
        found = [m for m in _ROLE.finditer(part.prose)]
        foreign = next((m for m in found if m.group(1).lower() in _FOREIGN), None)
        if foreign is None or (len(found) < 2 and foreign.group(1).lower() in ("q", "用户")):
            continue
        if DIALOGUE.search(row.question_before(part)) or row.asks(re.compile(r"\buser stor|\bq&a|question")):
            continue
        if re.search(rf"\b{foreign.group(1).lower()}\b", row.question_before(part)):
            continue  # what the prompt speaks of may head a line
        kept = part.text[: foreign.start()].rstrip()
        if len(kept) >= 2:
            yield Hit(part, foreign.start(), len(part.text), shown(part.text[foreign.start() :]), text=kept)
        else:
            yield Hit(part, *foreign.span(), shown(foreign.group()))


_THINK = re.compile(r"<(/?)(think|thinking|reasoning|scratchpad)>", re.I)
_EMPTY_THINK = re.compile(r"<(think|thinking|reasoning|scratchpad)>\s*</\1>\s*", re.I)


def think_tags(row: Fields, threshold: float) -> Iterator[Hit]:
    """Reasoning tags: empty pairs are removed; open, stray or answerless ones are flagged."""
    for part in row.answers:
        if (
            "<" not in part.text
            or "think" not in row.text.lower()
            and "<reason" not in row.text
            and "<scratch" not in row.text
        ):
            continue
        if hit := part.replaced(_EMPTY_THINK, ""):
            if hit.text and hit.text.strip():
                yield hit
                continue
        tags = [m for m in _THINK.finditer(part.prose)]
        depth = 0
        for tag in tags:
            depth += -1 if tag.group(1) else 1
            if depth not in (0, 1):
                break
        if depth != 0:
            yield Hit(part, *tags[0].span(), "a reasoning tag is open or stray")
        elif tags and not part.text[tags[-1].end() :].strip():
            yield Hit(part, *tags[-1].span(), "no answer follows the reasoning")


def page_boilerplate(row: Fields, threshold: float) -> Iterator[Hit]:
    """Lines of web pages (cookies, rights, newsletters) of at most `threshold` words: removed where text is left."""
    for part in row.answers:
        lower = part.lower
        if not has_any(lower, PAGE_CUES) or len(lower) != len(part.prose) or not PAGE_LINE.search(lower):
            continue
        if re.search(
            r"privacy|copyright|cookie|terms|policy|footer|website|web page|newsletter|legal|social media"
            r"|disclaimer|rights|call.to.action|e-?mail|\bapp\b|\bad\b|advert|\bpost\b|tweet|campaign",
            row.question_before(part),
        ):
            continue
        kept, first = [], None
        at = 0
        for line in part.text.split("\n"):
            if (
                PAGE_LINE.search(lower[at : at + len(line)])
                and len(line.split()) <= threshold
                and FILLER not in part.prose[at : at + len(line)]
            ):
                first = first or (at, at + len(line))
            else:
                kept.append(line)
            at += len(line) + 1
        text = "\n".join(kept).strip()
        if first and text:
            yield Hit(part, *first, shown(part.text[first[0] : first[1]].strip()), text=text)
        elif first:
            yield Hit(part, *first, shown(part.text[first[0] : first[1]].strip()))
