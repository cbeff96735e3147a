"""Whether a text speaks of a tag, token, entity or escape, or has it where it was left behind by mistake.

An answer that explains markup names it in a sentence: after a verb ("write <b>"), before one ("<|im_end|> ends a
turn"), in quotes or brackets, as an entry of a list or table. A piece that was left behind stands at the ends of the
text, of a line or of a sentence, or in place of a space.
"""

from __future__ import annotations

import re

# Words before or after which markup is named, in every kind of text.
_NAMING = frozenset(
    "write writes written writing use uses used using put puts type types typed typing insert inserts place enter "
    "wrap wraps enclose tag tags token tokens element elements entity entities escape escapes sequence sequences code "
    "codes marker markers separator separators delimiter delimiters symbol sign character characters string shows "
    "showing prints print printed outputs renders render reads spelled spelt see seen called named insert close open "
    "opens closes ends starts begins marked shown means press say search replace match matches split emits emit "
    "schreib schreibe schreibt schreiben setze setzt nutze verwende verwendet tippe gib zeichen folge nimm heißt "
    "escribe escriba usa use pon ponga inserta etiqueta entidad símbolo teclea écris écrivez utilise utilisez mets "
    "mettez tapez tape insérez balise entité symbole escreva digite usa-se scrivi usare inserisci "
    "напиши напишите используйте используй введите вставьте тег тега символ".split()
)
# Words that a token is named after, too weak for tags, which stand before and after any word.
_JOINING = frozenset(
    "with by as is are and or of from before after like until to in on the a an for between both either each both "
    "than then per via without not no any every into onto at if when where that this these those one two its into "
    "mit durch als ist sind und oder von vor nach zwischen der die das ein eine dem den zu "
    "con por como es son y o de antes después entre el la los las un una "
    "avec par comme est sont et ou avant après le les des une du au à com e um uma os".split()
)
_NAMED = frozenset(
    "tag tags token tokens element elements entity entities escape sequence character characters marks mark marked "
    "means mean stands stand is are was were ends end starts start begins begin opens open closes close separates "
    "separate parts part for and or inserts insert makes make gives give prints print renders render shows show "
    "becomes become tells tell creates create breaks break sets set turns turn produces puts adds goes comes appears "
    "between before after at around in as must should can may denotes represents signals indicates says serves "
    "does wraps pads fills ist sind steht bedeutet beendet trennt öffnet schließt für und oder am vor nach "
    "es son significa termina separa abre cierra para y o al est sont signifie termine sépare ouvre ferme pour et ou "
    "é são означает это является и или".split()
)
_QUOTES = "\"'“”‘’«»„`´「」『』"
_WORD_BEFORE = re.compile(r"([^\W\d_]+)[:,]?[ \t]+[\"'“‘«„(\[]?\Z")  # a blank, since "print(" is a call
_WORD_AFTER = re.compile(r"[\"'”’»“)\]]?,?[ \t]+([^\W\d_]+)")
_ENTRY = re.compile(r"\s*(?:[-*+•·|]|\d{1,3}[.)])?\s*\Z")  # nothing before but the mark of a list or table
_ENTRY_AFTER = re.compile(r"\s*(?:[:=|–—-]|->|→|：|\Z)")
_EASTERN_BEFORE = re.compile(r"(?:用|写|(?<!无)输入|键入|插入|写作|叫做|称为|标签|标记|符号|token)\s*\Z")
_EASTERN_AFTER = re.compile(r"\s*(?:标签|标记|符号|是|表示|和|或|、|来|を|は|で|が|と|という|タグ|태그|는|은|을|를)")
_SENTENCE_END = ".!?…。！？:;)]}\"'”’»"


_REACH = 200  # characters of a line that are looked at on either side


def _line(text: str, start: int, end: int) -> tuple[str, str]:
    """The text before and after a span in its line, up to `_REACH` characters of each."""
    return text[max(0, start - _REACH) : start].rpartition("\n")[2], text[end : end + _REACH].partition("\n")[0]


def is_named(text: str, start: int, end: int, in_quotes: bool = True) -> bool:
    """Whether the text names the piece of markup at [start, end): a verb or noun of markup, or quotes around it.

    `in_quotes`: whether quotes or brackets around it are enough.
    """
    before, after = _line(text, start, end)
    if in_quotes and before[-1:] and before[-1] in _QUOTES + "([" and after[:1] and after[0] in _QUOTES + ")],.":
        return True
    word = _WORD_BEFORE.search(before[-40:])
    if word and word.group(1).lower() in _NAMING and before[-1:] in (" ", "\t", *_QUOTES, "("):
        return True
    if _EASTERN_BEFORE.search(before[-12:]) or (before.strip() and _EASTERN_AFTER.match(after)):
        return True
    return _names_after(after, "tag tags token tokens element elements entity entities escape balise etiqueta".split())


def is_spoken_of(text: str, start: int, end: int, strict: bool = False) -> bool:
    """Whether a sentence goes on around the token at [start, end), or names it.

    Args:
        text: what the token stands in.
        start: its first character.
        end: the character after it.
        strict: do not count that a sentence merely goes on, as it does around a word that was lost (<unk>).
    """
    if is_named(text, start, end):
        return True
    before, after = _line(text, start, end)
    if _ENTRY.fullmatch(before) and before.strip() and _ENTRY_AFTER.match(after):
        return True
    if not before.strip():
        return text[max(0, start - _REACH) : start].strip() == "" and after[:1] == " " and _names_after(after, _NAMED)
    if before[-1] not in " \t([" + _QUOTES:
        # Left behind at a word, but for "<|im_end|>/<|eot_id|>" and the like.
        return before[-1] in "/=," and bool(after.strip())
    word = _WORD_BEFORE.search(before[-40:])
    if word and word.group(1).lower() in _JOINING:
        return True
    if before.rstrip()[-1] in "=→,|" or (before.rstrip()[-1] == ":" and not after.strip(" .,;)")):
        return True
    # In the middle of a sentence: a word before that ends none, and the sentence goes on.
    return not strict and before.rstrip()[-1] not in _SENTENCE_END and _names_after(after, _NAMED)


def _names_after(after: str, words: frozenset[str] | list[str]) -> bool:
    word = _WORD_AFTER.match(after)
    return word is not None and word.group(1).lower() in words


def is_isolated(text: str, start: int, end: int) -> bool:
    """Whether the piece stands as a word of a sentence: blanks or quotes around it, and no new sentence after it."""
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if before not in ("", " ", "\t", "(", "[", "=", "/", ",", ":", *_QUOTES):
        return False
    if after not in ("", " ", "\t", ")", "]", "/", ",", ".", ";", ":", "!", "?", *_QUOTES):
        return False
    following = text[end : end + _REACH].lstrip(" \t")[:1]
    return not (following.isupper() or following.isdigit() or following in ("-", "*", "•", "\n")) or after in (
        *_QUOTES,
        ")",
        "]",
        "/",
        ",",
        ".",
        ";",
        ":",
    )
