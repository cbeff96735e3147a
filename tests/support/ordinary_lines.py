"""Ordinary lines of the kinds that rules used to spoil: question and answer, made from templates and terms."""

from __future__ import annotations

from itertools import product

TAGS = ("b", "i", "em", "strong", "u", "h2", "span", "div", "p", "li", "td", "table", "a", "code")
MARKUP = [
    ("How do I stress a word?", "Write <{0}>word</{0}> around it."),
    ("What does the page use?", "It uses the <{0}> tag for that."),
    ("How is it closed?", "Each <{0}> needs a </{0}> at its end."),
    ("Which one do I take?", "Take the element <{0}> and close it with </{0}>."),
    ("Wie geht das im Forum?", "Schreib <{0}>Wort</{0}> um das Wort."),
    ("¿Cómo se hace en el foro?", "Escribe <{0}>palabra</{0}> en la línea."),
    ("Comment faire sur le forum ?", "Écrivez <{0}>mot</{0}> autour du mot."),
]
ENTITIES = (
    "nbsp",
    "amp",
    "lt",
    "gt",
    "copy",
    "quot",
    "mdash",
    "euro",
    "eacute",
    "#39",
    "#169",
    "hellip",
    "shy",
    "reg",
)
ENTITY = [
    ("How do I keep two words together?", "Type &{0}; between the two."),
    ("What do I write there?", "Use &{0}; in place of the sign."),
    ("Which entity is it?", "It is the entity &{0}; in every browser."),
    ("What shows it?", "Write &{0}; or its number."),
    ("What is the sign in the source?", "&{0}; stands for the sign."),
    ("What does the feed have?", 'The feed shows "&{0};" where the sign was meant.'),
    ("Wie schreibe ich das Zeichen?", "Schreibe &{0}; in die Zeile."),
    ("¿Qué pongo?", "Pon &{0}; en la línea."),
]
ESCAPES = ("n", "t", "r", "0", "a", "x1b", "u00e9", "\\\\", "b", "f", "v", "e")
ESCAPE = [
    ("Which separators has the export?", "Choose \\{0} for one, \\n for a field a line, or a comma."),
    ("How do I strip line ends?", "Use tr -d '\\{0}\\n' on the stream."),
    ("How do I split it?", "Call text.split('\\{0}') and join it with '\\n'."),
    ("What does the log show?", "It shows \\{0} and \\n where the breaks were."),
    ("How do I print two lines?", "Run printf 'a\\{0}b\\n' in the shell."),
    ("How do I replace it?", "sed 's/\\{0}/ /g; s/\\n//' does it."),
    ("What parts the fields?", 'The fields are parted by "\\{0}" and the rows by "\\n".'),
    ("How do I find them?", "grep -P '\\{0}.*\\n' finds them all."),
    ("What ends a record?", "A record ends with \\{0} or with \\n."),
]
COMMANDS = ("ls -la | wc -l", "awk -F'\\t' '{print $1}' a.txt", "sed -e 's/<b>//g' a.txt", "grep -c '&amp;' a.html",
            "find . -name '*.py' -exec wc -l {} +", "tr -d '\\r\\n' < a", "echo -e 'a\\tb\\nc'", "cut -d'|' -f2 a.csv",
            "xargs -0 -n1 < list", "printf '%s\\n' \"$@\"", "IFS=$'\\n' read -r line",
            "kill -9 $(cat a.pid)")  # fmt: skip
SHELL = [
    ("How do I do that in the terminal?", "Run {0} in the folder."),
    ("Which line does it?", "This one does: {0}"),
    ("What do I type?", "Type {0} and press Enter."),
    ("How do I check?", "{0} shows it."),
    ("How do I do it twice?", "First {0}, then {0} again."),
    ("Is there a short way?", "Yes, with {0}, if the shell is bash."),
    ("What does the note say?", 'It says to run "{0}" at night.'),
    ("Which step is missing?", "Step two, which is {0}, is missing."),
    ("And on the server?", "There it is {0} as well."),
]
TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "[INST]", "[/INST]", "</s>", "<s>", "<pad>",
          "<unk>", "<bos>", "<end_of_turn>", "<|return|>", "<|channel|>")  # fmt: skip
TOKEN = [
    ("How does each sample end?", "Each sample ends with {0} as text."),
    ("What opens the turn?", "The mark {0} opens it, and a line break follows."),
    ("Which mark is it?", "It is {0}, in every file."),
    ("What does the file hold?", "Between the turns it has {0} and a blank."),
    ("What is it for?", "{0} ends a turn of the speaker."),
    ("Which two are there?", "There are {0} and <|sep|>, both as text."),
    ("What is printed?", 'It prints "{0}" after the answer.'),
    ("Which ones?", "- {0}: ends the text\n- <|sep|>: parts it"),
]
THOUGHTS = ("</think>", "<think>", "[THINK]", "</thinking>")
THOUGHT = [
    ("How does the block end?", "Close the block with {0} and go on."),
    ("What does the model write?", "It writes {0} before the answer."),
    ("Which tag is it?", "The {0} tag is the one."),
    ("What do I look for?", 'Search for "{0}" in the reply.'),
]
REFRAINS = (
    "Turn, wheel, turn.",
    "Row on, row on.",
    "The water runs below.",
    "Heave away, my lads.",
    "Oh, the mill goes round.",
)
VERSES = (("The miller rises with the sun,", "His bread is baked, his work begun."),
          ("The river bends beside the stone,", "The wheel has music of its own."),
          ("The sacks are white, the boards are brown,", "The carts go slowly into town."),
          ("The children bring the empty pail,", "The wind is turning to a gale."))  # fmt: skip
SONGS = [  # a question, and the step from one stanza to the next
    ("What are the words of the shanty?", 1), ("Tell me how the old one goes.", 3),
    ("How does the piece about the mill go?", 3),
    ("Recall what the miller says at work.", 1), ("What do they call out at the rope?", 1),
]  # fmt: skip
ICONS = ("\ue0a0", "\ue0b0", "\uf015", "\uf121", "\uf0e0", "\ue725", "\uf17c", "\uf09b", "\uf1c0", "\uf233")
ICON = [
    ("What does the status line show?", "It shows {0} main {1} src {2} ok {3} 3 {4} db."),
    ("Which icons are in the menu?", "{0} Home, {1} Code, {2} Mail, {3} Branch, {4} Data."),
    (
        "What is in the legend?",
        "{0} is the house\n{1} is the code\n{2} is the mail\n{3} is the branch\n{4} is the store",
    ),
    ("How is the list drawn?", "- {0} home\n- {1} code\n- {2} mail\n- {3} branch\n- {4} store"),
    ("What do the glyphs mean?", "{0} means home; {1} means code; {2} means mail; {3} means branch; {4} means data."),
    ("Which symbols does the theme use?", "The theme uses {0}, {1}, {2}, {3} and {4}."),
    ("What is printed before the name?", "Before the name stand {0} {1} {2} {3} {4}, each with a blank."),
    ("Copy the header of the pane.", "{0} ~/mill {1} weir {2} {3} {4}"),
    ("Show the tab bar.", "{0} one | {1} two | {2} three | {3} four | {4} five"),
    ("Which font signs are free?", "Free are {0}, {1}, {2}, {3}, {4} in this font."),
]
NOTHING = ("N/A", "null", "NaN", "n/a", "None", "nan", "NULL", "undefined")
VALUES = (
    "What does the query return when no row matches?", "What is written in the box if the question does not apply?",
    "Which value stands for a missing number in the table?", "What goes into the phone field if there is none?",
    "What does the function return for an unknown key?", "What is the value of the field when it is left open?",
    "What is printed when the list is empty?", "What is in the column for rows without a date?",
    "What does the sheet show if the result is missing?", "Fill in the middle name of a person who has none.",
    "What does 0/0 give in floating point?", "What is the JSON value for nothing?",
    "What do I enter if the item has no price?",
)  # fmt: skip


def _filled(templates, terms):
    return [(ask, answer.format(term)) for (ask, answer), term in product(templates, terms)]


def _songs():
    for (ask, order), refrain, turn in product(SONGS, REFRAINS, range(4)):
        stanzas = [VERSES[(i * order + turn) % len(VERSES)] for i in range(4)]
        yield ask, "\n\n".join("\n".join((*lines, refrain, refrain)) for lines in stanzas)


def _dumps():
    for seed in range(34):
        zero = "\n".join(f"{16 * (i + seed):08x}  {'00 ' * 16} |{'.' * 16}|" for i in range(12 + seed % 3))
        yield "What does the first block of the file look like?", zero
        rows = "\n".join(f"INSERT INTO mill VALUES ({i}, 'stone {i * seed}', NULL, 0, 0, 0);" for i in range(14))
        yield "Show the dump of the table.", rows
        log = "\n".join(
            f"2026-03-0{1 + i % 9} 04:1{i % 10}:00 INFO pump idle, level {i * (seed + 3) % 97 + seed}"
            for i in range(16)
        )
        yield "What is in the log of the night?", log


def _icons():
    for (ask, answer), at in product(ICON, range(len(ICONS))):
        yield ask, answer.format(*(ICONS[(at + i) % len(ICONS)] for i in range(5)))


KINDS = {
    "markup": _filled(MARKUP, TAGS) + _filled(MARKUP[:1], ("br", "hr")),
    "entities": _filled(ENTITY, ENTITIES),
    "escapes": _filled(ESCAPE, ESCAPES),
    "shell": _filled(SHELL, COMMANDS),
    "tokens": _filled(TOKEN, TOKENS) + _filled(THOUGHT, THOUGHTS),
    "verse": list(_songs()),
    "dumps": list(_dumps()),
    "icons": list(_icons()),
    "nothing": list(product(VALUES, NOTHING)),
}
