"""X and F rules: what they flag or drop, and the near misses that they leave alone."""

from __future__ import annotations

import pytest

from entp_hf.purge import Purge
from entp_hf.schema import JOIN

ASK = "Explain how bread rises."
LONG = "Yeast eats the sugar in the flour and gives off gas. " * 1 + (
    "The gas is caught in the dough, which swells slowly over two hours in a warm room. "
    "Baking sets the crumb around the bubbles"
)
SENTENCES = (
    "Yeast eats sugar. It gives off gas. The dough holds the gas in many small bubbles. Then heat sets the crumb. "
    "A slow rise in a cool room adds flavour, since bacteria have time to make acids. Bakers call this retarding."
)


def run(rule, ask, answer, given=""):
    content = ask + (JOIN + given if given else "")
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    return Purge(rules=(rule,)).row(messages, given)


# rule, action, prompt, input, answer
FOUND = [
    ("replacement_chars", "flag", ASK, "", "Yeast makes g\ufffds."),
    ("replacement_chars", "flag", ASK, "", "Yeast \ue123 makes gas."),
    ("replacement_chars", "drop", ASK, "", "Y\ufffd\ufffdst m\ufffdk\ufffds g\ufffds."),
    ("empty_answer", "drop", ASK, "", "..."),
    ("empty_answer", "drop", ASK, "", "<nooutput>"),
    ("empty_answer", "drop", ASK, "", "N/A"),
    ("empty_answer", "drop", "Was ist Hefe?", "", "***"),
    ("echo", "drop", ASK, "", "Explain how bread rises."),
    ("echo", "drop", "Rewrite this in the passive voice.", "The dog chased the cat.", "The dog chased the cat."),
    ("echo", "drop", "改写句子。", "他每天都在公园里面跑步。", "他每天都在公园里面跑步。"),
    ("repetition", "drop", ASK, "", "The dough is warm. The dough is warm and soft. " * 12),
    ("repetition", "drop", "Erkläre Brot.", "", "Der Teig ist warm und er geht auf. " * 12),
    ("repetition", "drop", "解释面包。", "", "面团在温暖的地方会慢慢发酵膨胀起来。" * 20),
    ("filler_text", "drop", ASK, "", "lorem ipsum dolor sit amet consectetur"),
    ("filler_text", "drop", ASK, "", "asdf asdf asdf asdf"),
    ("filler_text", "flag", ASK, "", SENTENCES + " test test test"),
    ("missing_reference", "flag", "Summarise the article below about bread.", "", "It says that bread is old."),
    ("missing_reference", "flag", "Look at the attached photo and describe it.", "", "It shows a loaf."),
    ("missing_reference", "flag", "Summarise it.", "https://news.example.org/a/1", "It is about bread."),
    ("missing_reference", "drop", "Describe this.", "<image of a loaf>", "It shows a brown loaf."),
    ("missing_reference", "flag", "Describe this.", "<image of a loaf>", "I can't see any image."),
    ("impossible_action", "flag", "Make the heading bigger.", "Bread", "The font size has been increased."),
    ("impossible_action", "flag", "Send an email to Ann.", "", "I have sent the email to Ann."),
    ("impossible_action", "flag", "Show me a loaf.", "", "Here is the image of a loaf."),
    ("merged_records", "drop", ASK, "", "### Instruction: Name a bird.\n### Response: Owl"),
    ("corrupt_length", "drop", ASK, "", "bread " * 40_000),
    ("corrupt_length", "flag", ASK, "", "x" * 1500),
    ("corrupt_length", "flag", ASK, "", "See: " + "QUJD" * 400),
    ("truncated", "flag", ASK, "", LONG + " and the"),
    ("truncated", "flag", ASK, "", SENTENCES + " The oven spring is the last rise of the loaf before"),
    ("truncated", "flag", "Erkläre Brot.", "", "Die Hefe frisst den Zucker im Mehl und gibt Gas ab. Das Gas bleibt im "
     "Teig, der in einem warmen Raum langsam über zwei Stunden aufgeht, bis er doppelt so groß ist und"),
    ("cut_code", "flag", "Write code.", "", "```python\nfor i in range(3):\n    print(i\n```"),
    ("cut_code", "flag", "Write code.", "", '```json\n{"a": [1, 2,\n```'),
    ("cut_code", "flag", "Write code.", "", "```python\ndef f(best):\n    return bes"),
    ("cut_code", "flag", "Write code.", "", "```js\nfunction f() { return [1, 2;\n"),
    ("ends_with_colon", "drop", ASK, "", "Bread rises in the following steps:"),
    ("ends_with_colon", "flag", "List the steps of baking:", "", "Mix, rise, bake."),
    ("ends_with_colon", "flag", ASK, "", "Bread rises.\nThe steps are these:"),
    ("unbalanced", "flag", ASK, "", "The derivative of $x^2 is 2x."),
    ("unbalanced", "flag", ASK, "", r"We have \(a^2 + b^2 = c^2, always."),
    ("unbalanced", "flag", ASK, "", "Yeast eats the sugar (which comes from the flour and gives off gas."),
    ("list_numbering", "flag", "List five birds.", "", "1. Owl\n2. Crow\n2. Wren\n5. Tit"),
    ("list_numbering", "flag", "List birds.", "", "Here are 6 birds:\n1. Owl\n2. Crow\n3. Wren"),
    ("list_numbering", "flag", "Name 5 birds.", "", "1. Owl\n2. Crow\n3. Wren"),
    ("refusal", "flag", ASK, "", "I'm sorry, but I can't help with that."),
    ("refusal", "flag", "酵母是什么？", "", "抱歉，我无法回答这个问题。"),
    ("refusal", "flag", "¿Qué es la levadura?", "", "Lo siento, pero no puedo ayudar con eso."),
    ("refusal", "flag", "Qu'est-ce que la levure ?", "", "Je suis désolé, mais je ne peux pas répondre."),
    ("refusal", "flag", "Was ist Hefe?", "", "Es tut mir leid, aber ich kann dabei nicht helfen."),
    ("refusal", "flag", "O que é fermento?", "", "Desculpe, mas não posso ajudar com isso."),
    ("refusal", "flag", "酵母とは？", "", "申し訳ありませんが、お答えできません。"),
    ("refusal", "flag", "효모가 뭐야?", "", "죄송하지만 답변할 수 없습니다."),
    ("refusal", "flag", "Что такое дрожжи?", "", "Извините, я не могу помочь с этим."),
    ("refusal", "flag", "ما هي الخميرة؟", "", "عذرا، لا أستطيع مساعدتك في ذلك."),
    ("identity_leak", "flag", ASK, "", "I am ChatGPT."),
    ("identity_leak", "flag", ASK, "", "As an AI language model, I like bread, and yeast makes it rise."),
    ("role_confusion", "flag", ASK, "", "Human: And salt?\nAssistant: Yes."),
    ("placeholder", "flag", ASK, "", "The yeast is called {{yeast_name}} here."),
    ("placeholder", "flag", ASK, "", "Yeast is [insert topic]."),
    ("placeholder", "drop", ASK, "", "[your name] [date here] [insert text]"),
    ("too_short", "flag", ASK, "", "Yeast."),
    ("too_short", "flag", "Write a paragraph about geese.", "", "Geese"),
    ("too_short", "flag", "解释什么是光合作用。", "", "植物"),
    ("length_outlier", "flag", "word " * 2100, "", "Fine."),
    ("length_outlier", "flag", "ab", "", "Fine."),
    ("language_mismatch", "flag", ASK, "", "La levadura come el azúcar de la harina y produce gas dentro de la masa."),
    ("language_mismatch", "flag", ASK, "", 
     "酵母吃掉面粉里的糖，放出气体，面团里的气泡越来越大，所以面包会发起来，然后再烤熟它就好了。"),
    ("language_mismatch", "flag", "解释一下面包为什么会发起来，请详细说明。", "",
     "Yeast eats the sugar and gives off gas in the dough."),
    ("language_mismatch", "flag", "Como se hace el pan en casa sin una panificadora?", "", SENTENCES),
    ("mixed_script", "flag", ASK, "", "Yeаst makes gаs."),
    ("mixed_script", "flag", ASK, "", "The cοmet is nοt bread."),
    ("symbol_ratio", "flag", ASK, "", "!!! ### $$$ @@@ %%% *** bread ??? <<< >>> ~~~ ^^^ |||"),
    ("url_load", "flag", ASK, "", "https://www.bread-facts.net/rise https://yeast.info/gas and more"),
    ("think_tags", "flag", ASK, "", "<think>I should say that yeast makes gas."),
    ("think_tags", "flag", ASK, "", "Yeast makes gas.</think>"),
    ("think_tags", "flag", ASK, "", "<think>Gas.</think>"),
    ("arithmetic", "flag", "How many?", "", "So 52 - 18 = 36 are left."),
    ("arithmetic", "flag", "How many?", "", "It is <<48/2=25>>25 in all."),
    ("arithmetic", "flag", "How many?", "", "We get 3 × 4 + 2 = 15 loaves."),
    ("page_boilerplate", "flag", ASK, "", "All rights reserved."),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "action", "ask", "given", "answer"), FOUND)
def test_finds(rule, action, ask, given, answer):
    result = run(rule, ask, answer, given)
    assert [(f.rule, f.action) for f in result.findings] == [(rule, action)]
    assert result.dropped_by == (f"purge:{rule}" if action == "drop" else None)
    assert not result.changed


MISSED = [
    ("replacement_chars", ASK, "", "A single □ box, plain Ünïcödé, and 😀."),
    *[("empty_answer", "What is it?", "", a) for a in ("Paris", "B", "42", "Yes", "是", "<", "😀", "None", "π")],
    ("empty_answer", "Which punctuation mark ends a question?", "", "?"),
    ("empty_answer", "Reply with N/A if unknown.", "", "N/A"),
    ("echo", "Correct the grammar.", "The dog chased the cat.", "The dog chased the cat."),
    ("echo", "Repeat after me: bread rises well.", "", "Repeat after me: bread rises well."),
    ("echo", "Change it to past tense.", "I jump high in the sky.", "I jumped high in the sky."),
    ("echo", "Who is she?", "Ann Lee is a baker in Rome.", "A baker in Rome."),
    ("repetition", ASK, "", SENTENCES),
    ("repetition", "Write a song.", "",
     "Row, row, row your boat\nGently down the stream\nMerrily, merrily, merrily\n" * 3),
    ("repetition", "Say ha.", "", "ha ha ha ha"),
    ("filler_text", "Give me lorem ipsum text.", "", "Lorem ipsum dolor sit amet."),
    ("filler_text", ASK, "", "We test the dough, and test it again."),
    ("missing_reference", "Summarise the article below: Bread is old. It was first baked in Egypt.", "", "Old."),
    ("missing_reference", "Summarise the text below.", "Bread is an old food that was baked in Egypt.", "Old."),
    ("missing_reference", "How do I attach a file to an email?", "", "Click the paper clip."),
    ("missing_reference", "Describe the picture that bread makes you think of.", "", "A farm."),
    ("impossible_action", "Write a letter to Ann.", "", "Dear Ann, I have sent the parcel. Best, Bob"),
    ("impossible_action", ASK, "", "Over the years the file has been updated by many bakers. " + SENTENCES),
    ("corrupt_length", ASK, "", SENTENCES * 20),
    ("corrupt_length", "写", "", "面" * 5000),
    ("truncated", ASK, "", LONG + "."),
    ("truncated", ASK, "", "The loaf of the"),
    ("truncated", "Write a poem.", "", LONG + "\nand the"),
    ("truncated", ASK, "", "- " + "\n- ".join(f"flour of kind number {i}" for i in range(12))),
    ("truncated", "อธิบาย", "", "ยีสต์กินน้ำตาลในแป้งและปล่อยก๊าซออกมา" * 5),
    ("cut_code", "Write code.", "", "```python\nprint(1)\n```"),
    ("cut_code", "Write code.", "", "```python\nif x\n    print(1)\nprint(2)\n```"),
    ("cut_code", "Write text.", "", "```text\nan open ( bracket\n```"),
    ("ends_with_colon", ASK, "", "The steps are:\n1. Mix."),
    ("ends_with_colon", "Sort these:", "c, a, b", "a, b, c"),
    ("ends_with_colon", "Fix the loop.", "", "for i in range(3):"),
    ("unbalanced", ASK, "", "It costs $5 (or $6 in town) and a) is right :)"),
    ("unbalanced", ASK, "", r"Here \(a\) and $x^2$ and \[b\] stand."),
    ("list_numbering", "List birds.", "", "1. Owl\n2. Crow\n3. Wren\n\nFish:\n1. Cod\n2. Eel"),
    ("list_numbering", "Name 3 birds in 50 words.", "", "1. Owl\n2. Crow\n3. Wren"),
    ("list_numbering", ASK, "", "It was 1999. Then came 2005. Then 3."),
    ("refusal", "Rewrite politely.", "No.", "I'm sorry, but I can't come."),
    ("refusal", ASK, "", "Bakers say they cannot do without yeast."),
    ("refusal", ASK, "", "Sorry for the wait. " + SENTENCES * 2),
    ("refusal", "Was ist Hefe?", "", "Hefe ist ein Pilz. Leider wird sie im Kühlschrank träge."),
    ("identity_leak", ASK, "", "Google was made by people, and OpenAI trains models."),
    ("placeholder", "Write an email template.", "", "Dear [Name],"),
    ("placeholder", "Write a Python f-string.", "", "f'{name}'"),
    ("placeholder", ASK, "", "The array [1, 2] and the set {a, b}."),
    ("too_short", "What is the capital of France?", "", "Paris"),
    ("too_short", "Explain in one word what yeast is.", "", "Fungus"),
    ("too_short", "Summarise it.", "Bread is old.", "Old bread."),
    ("length_outlier", "Define love.", "", "A feeling."),
    ("length_outlier", "光", "", "光是电磁波。"),
    ("language_mismatch", "Translate to Spanish: yeast eats sugar.", "",
     "La levadura come el azúcar de la harina blanca."),
    ("language_mismatch", ASK, "", SENTENCES),
    ("language_mismatch", "列出五个软件公司的名字，谢谢。", "",
     "QuadraSoft, EchoCoder, NurtureCode, Expandify, Crisoft"),
    ("mixed_script", ASK, "", "The area is A=πr², an angle α, 5 μm, and Δt."),
    ("mixed_script", "Что такое API?", "", "API — это интерфейс, как в HTTP."),
    ("symbol_ratio", "Write a regular expression.", "", r"^(\d{3})-(\w+)\s*[^a-z]{2,}$"),
    ("symbol_ratio", ASK, "", SENTENCES),
    ("url_load", "Give me links on bread.", "", "https://www.bread-facts.net https://yeast.info"),
    ("url_load", ASK, "", SENTENCES + " See https://yeast.info."),
    ("arithmetic", "How many?", "", "52 - 18 = 34, 10 / 3 = 3.33, 0.1 + 0.2 = 0.3, $5 x 3 = $15, 2 + 3 * 4 = 14."),
    ("arithmetic", "Solve it.", "", "2x + 3 = 11, f(2) + 1 = 6, 1/2 + 1/3 = 5/6, 12/05 = date, 50% * 8 = 4"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "ask", "given", "answer"), MISSED)
def test_leaves_alone(rule, ask, given, answer):
    result = run(rule, ask, answer, given)
    assert (result.findings, result.dropped_by) == ([], None)


@pytest.mark.parametrize(
    ("turns", "detail"),
    [
        ([("assistant", "Hi.")], "no user turn"),
        ([("user", "Hi.")], "no assistant turn"),
        ([("user", "Hi."), ("narrator", "..."), ("assistant", "Hi.")], "role 'narrator'"),
        ([("user", " "), ("assistant", "Hi.")], "the instruction is empty"),
        ([("assistant", "Hi."), ("user", "Hi?")], "no question before the answer"),
    ],
)
def test_broken_roles_drop(turns, detail):
    result = Purge(rules=("broken_roles",)).row([{"role": r, "content": c} for r, c in turns])
    assert result.dropped_by == "purge:broken_roles" and result.findings[0].detail == detail


@pytest.mark.parametrize(
    "roles", ["system user assistant", "user assistant tool assistant", "user assistant assistant tool tool assistant"]
)
def test_tool_use_is_no_broken_roles(roles):
    result = Purge(rules=("broken_roles",)).row([{"role": r, "content": "x"} for r in roles.split()])
    assert result.findings == [] and not result.changed
