"""F18: vulgar and abusive words. Off by default: stories, quotes and lessons use them too."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .row import Fields, Hit, shown

# A short list of words that are hardly ever meant otherwise; own lists are own rules.
_WORDS = re.compile(
    r"\b(?:(?:mother)?fuck\w*|shit(?:ty|head|s)?|bullshit|assholes?|bitch(?:es|y)?|bastards?|cunts?|dickheads?|morons?"
    r"|wank\w*|scum|puta|mierda|gilipollas|cabr[oó]n(?:es)?|merde|salope|connards?|putain|enculé|schei(?:ß|ss)e?"
    r"|arschl(?:och|öcher)|wichser|hurensohn|porra|caralho|merda|foda-se|сука|блять|дерьмо|мудак)\b"
    r"|傻逼|他妈的|操你|混蛋|王八蛋|くそったれ|씨발|개새끼|شرموطة|خراء"
)


def flagged_words(row: Fields, threshold: float) -> Iterator[Hit]:
    """Answers with more than a share of `threshold` vulgar words; the score is that share."""
    for part in row.answers:
        found = list(_WORDS.finditer(part.lower))
        if not found or not part.length:
            continue
        share = len(found) / part.length
        if share > threshold:
            span = found[0].span() if len(part.lower) == len(part.text) else (-1, -1)
            yield Hit(part, *span, shown(found[0].group()[:2] + "…"), share)
