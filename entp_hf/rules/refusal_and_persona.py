"""F6-F8, F19, F22: refusals, the model's identity, other speakers, reasoning tags, lines of web pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..text.prompt_intent import DIALOGUE
from ..text.reasoning import Reasoning, reasoning_marks, split_reasoning
from .masks import FILLER
from .mentions import is_spoken_of
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
    r"(?m)^[ \t]*(?:#{1,4}[ \t]*|\*\*)?(Human|User|Assistant|AI|Bot|Q|A|Usuario|Asistente|Benutzer|Assistent"
    r"|Utilisateur"
    r"|Usuário|Assistente|Пользователь|Ассистент|用户|助手|人类|ユーザー|アシスタント|사용자"
    r"|어시스턴트)(?:\*\*)?[ \t]*[:：]"
)
# The asker's labels, each with the labels of who answers.
_PAIRS = {
    "human": ("assistant", "ai", "bot"), "user": ("assistant", "ai", "bot"), "q": ("a",),
    "usuario": ("asistente", "ai", "assistant"), "benutzer": ("assistent", "assistant", "ai"),
    "utilisateur": ("assistant", "ai"), "usuário": ("assistente", "assistant"), "пользователь": ("ассистент",),
    "用户": ("助手",), "人类": ("助手",), "ユーザー": ("アシスタント", "assistant", "ai"),
    "사용자": ("어시스턴트", "assistant"),
}  # fmt: skip
_LABELLED = re.compile(r"(?m)^[ \t]*(?:[-*#]+[ \t]*)?(?:\*\*)?([^\W\d_][^\n:：]{0,28}?)(?:\*\*)?[ \t]*[:：](?!//)")
_ABOUT_SPEAKERS = re.compile(r"\buser stor|\bq&a|question")


def role_confusion(row: Fields, threshold: float) -> Iterator[Hit]:
    """Turns of other speakers inside an answer: cut at the first of the asker's; dialogues are meant to have them.

    A cut needs two speakers who take turns, the asker and then the answerer, in what reads as speech. Lines of a form,
    a log or a list of terms that merely start with such a word stay. A last line that asks, with nobody answering, is
    flagged.
    """
    for part in row.answers:
        if ":" not in part.text and "：" not in part.text:
            continue
        found = list(_ROLE.finditer(part.prose))
        asking = next((m for m in found if m.group(1).lower() in _PAIRS), None)
        if asking is None:
            continue
        question = row.question_before(part)
        if DIALOGUE.search(question) or row.asks(_ABOUT_SPEAKERS):
            continue
        if re.search(rf"\b{asking.group(1).lower()}\b", question):
            continue  # a label may be what the prompt speaks of
        if _take_turns(part.prose, asking, found):
            kept = part.text[: asking.start()].rstrip()
            if len(kept) >= 2:
                yield Hit(part, asking.start(), len(part.text), shown(part.text[asking.start() :]), text=kept)
            else:
                yield Hit(part, *asking.span(), shown(asking.group()))
        elif len(found) == 1 and _asks_alone(part.prose, asking):
            yield Hit(part, *asking.span(), shown(part.text[asking.start() :]))


def _take_turns(text: str, asking: re.Match[str], found: list[re.Match[str]]) -> bool:
    """Whether the next labelled line is the answerer's, and the lines between them are speech."""
    after = [m for m in found if m.start() > asking.start()]
    if not after or after[0].group(1).lower() not in _PAIRS[asking.group(1).lower()]:
        return False
    labels = [m.group(1).strip().lower() for m in _LABELLED.finditer(text)]
    own = {m.group(1).lower() for m in found}
    if len([label for label in labels if label not in own]) > len(found):
        return False  # one field among others
    said = text[asking.end() : after[0].start()].strip()
    answered = text[after[0].end() : after[1].start() if len(after) > 1 else len(text)].strip()
    # A neighboring line with a label of its own makes both a list of fields.
    around = _LABELLED.search(text, after[0].end())
    fields = around is not None and around.group(1).strip().lower() not in own and "\n\n" not in answered
    before = text[: asking.start()].rstrip("\n").rpartition("\n")[2]
    fields = fields or (_LABELLED.match(before) is not None and text[: asking.start()][-2:] != "\n\n")
    return not fields and _is_speech(said) and _is_speech(answered, least=1)


def _is_speech(text: str, least: int = 1) -> bool:
    """A sentence as people say one: it asks, or begins with a capital (or in a script that has none) and ends."""
    if not text or len(text.split()) < least:
        return bool(text)
    if text[-1] in "?？":
        return True
    first = next((c for c in text if c.isalpha()), "")
    return bool(first) and not first.islower()


def _asks_alone(text: str, asking: re.Match[str]) -> bool:
    """Whether a single labelled line ends the answer with a question."""
    said = text[asking.end() :].strip()
    return said[-1:] in ("?", "？") and asking.group(1).lower() != "q" and len(_LABELLED.findall(text)) == 1


_THINK = re.compile(r"<(/?)(think|thinking|reasoning|scratchpad)>", re.I)
_EMPTY_THINK = re.compile(r"<(think|thinking|reasoning|scratchpad)>\s*</\1>\s*", re.I)
_ABOUT_THINKING = re.compile(
    r"\btags?\b|\btokens?\b|\breasoning\b|\btemplate|</?think|special|\bmark(?:s|ers?|up)?\b|harmony"
)
_THINK_CUES = ("think", "thought", "reason", "scratch", "channel|>", "assistantfinal", "inner_", "unused9",
               "reflection", "assistant final")  # fmt: skip


def think_tags(row: Fields, threshold: float) -> Iterator[Hit]:
    """Reasoning before an answer: written as <think> where it has other marks, or harmony's channels.

    Empty pairs are removed; reasoning that never ends, stray marks and reasoning without an answer are flagged. Marks
    that a sentence speaks of are left alone.
    """
    lower = row.text.lower()
    if not has_any(lower, _THINK_CUES):
        return
    for part in row.answers:
        if not has_any(part.text.lower(), _THINK_CUES):
            continue
        if hit := part.replaced(_EMPTY_THINK, ""):
            if hit.text and hit.text.strip():
                yield hit
                continue
        split = split_reasoning(part.text)
        question = row.question_before(part)
        whole = split is not None and split.closed and split.answer and not any(reasoning_marks(split.reasoning))
        if split is not None and whole and not _is_canonical(part.text):
            if not (_ABOUT_THINKING.search(question) and part.text.lstrip()[:1] not in "<[◁"):
                text = f"<think>\n{split.reasoning}\n</think>\n\n{split.answer}" if split.reasoning else split.answer
                yield Hit(part, 0, len(part.text), shown(part.text[:60]), text=text)
            continue
        yield from _broken_tags(part, split, question)


def _is_canonical(text: str) -> bool:
    """Whether reasoning is written as <think>...</think> already, once or several times."""
    opened = False
    for mark in reasoning_marks(text):
        if text[mark.start : mark.end] != ("</think>" if mark.closes else "<think>") or mark.closes != opened:
            return False
        opened = not opened
    return not opened and text.lstrip().startswith("<think>")


def _broken_tags(part: Part, split: Reasoning | None, question: str) -> Iterator[Hit]:
    if split is not None and not split.closed:
        yield Hit(part, 0, min(len(part.text), 60), "the reasoning never ends")
        return
    tags = [m for m in _THINK.finditer(part.prose) if not is_spoken_of(part.prose, *m.span())]
    if not tags or _ABOUT_THINKING.search(question):
        return
    depth = 0
    for tag in tags:
        depth += -1 if tag.group(1) else 1
        if depth not in (0, 1):
            break
    if depth != 0:
        yield Hit(part, *tags[0].span(), "a reasoning tag is open or stray")
    elif not part.text[tags[-1].end() :].strip():
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
