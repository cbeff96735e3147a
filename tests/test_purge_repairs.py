"""R1-R13 and the other rules that rewrite: what they mend, and what looks like it and is left alone."""

from __future__ import annotations

import re

import pytest

from entp_hf.purge import Purge
from entp_hf.schema import JOIN

ASK = "Explain how bread rises."


def run(rule, answer, ask=ASK, given=""):
    content = ask + (JOIN + given if given else "")
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    return Purge(rules=(rule,)).row(messages, given)


# rule, prompt, answer, answer after the repair
MENDED = [
    ("mojibake", ASK, "The cafÃ© is openâ€™s end.", "The café is open’s end."),
    ("mojibake", ASK, "NÃ£o hÃ¡ pÃ£o.", "Não há pão."),
    ("mojibake", ASK, "It costs 5 â‚¬ a day â€“ no more.", "It costs 5 € a day – no more."),
    ("control_chars", ASK, "\x1b[31mYeast\x1b[0m makes gas.", "Yeast makes gas."),
    ("control_chars", ASK, "Yeast\x00 makes\x07 gas.", "Yeast makes gas."),
    ("control_chars", ASK, "Yeast makes\x0bgas.", "Yeast makes\ngas."),
    ("invisible_chars", ASK, "\ufeffYeast\u200b makes gas.", "Yeast makes gas."),
    ("invisible_chars", ASK, "Fermen\u00adtation", "Fermentation"),
    ("invisible_chars", ASK, "Yeast \u202emakes\u202c gas.", "Yeast makes gas."),
    ("blank_runs", ASK, "One.\r\nTwo.", "One.\nTwo."),
    ("blank_runs", ASK, "One.\n\n\n\n\nTwo.\n\n\n", "One.\n\nTwo."),
    ("blank_runs", ASK, "One.     \nTwo.", "One.\nTwo."),
    ("double_escaped", ASK, r"First.\n\nSecond.\nThird.", "First.\n\nSecond.\nThird."),
    ("double_escaped", ASK, r"Caf\u00e9 and t\u00ea", "Café and tê"),
    ("double_escaped", ASK, r"He said \"hi\".\n\nThen he left.", 'He said "hi".\n\nThen he left.'),
    ("html_entities", ASK, "Flour &amp; water", "Flour & water"),
    ("html_entities", ASK, "It&#39;s the yeast&nbsp;cells.", "It's the yeast cells."),
    ("html_entities", ASK, "5 &lt; 6 and 7 &gt; 6", "5 < 6 and 7 > 6"),
    ("html_tags", ASK, "Yeast makes gas.<br>The dough rises.", "Yeast makes gas.\nThe dough rises."),
    ("html_tags", ASK, "<p>Yeast makes <b>gas</b> in the warm dough.</p>", "Yeast makes **gas** in the warm dough."),
    ("html_tags", ASK,
     'Yeast is a fungus; read <a href="https://x.org">this long text</a> on what it does to dough and to beer.',
     "Yeast is a fungus; read [this long text](https://x.org) on what it does to dough and to beer."),
    ("special_tokens", ASK, "Yeast makes gas.<|im_end|>", "Yeast makes gas."),
    ("special_tokens", ASK, "<s> Yeast makes gas.</s>", "Yeast makes gas."),
    ("special_tokens", ASK, "Yeast makes gas.<|im_end|>\n<|im_start|>user\nThanks", "Yeast makes gas."),
    ("special_tokens", ASK, "[/INST] Yeast makes gas.", "Yeast makes gas."),
    ("field_label", ASK, "### Response: Yeast makes gas.", "Yeast makes gas."),
    ("field_label", ASK, "Output: Yeast makes gas.", "Yeast makes gas."),
    ("field_label", "酵母是什么？", "答案：一种真菌。", "一种真菌。"),
    ("boilerplate_tail", ASK, "Yeast makes gas. I hope this helps!", "Yeast makes gas."),
    ("boilerplate_tail", ASK, "Yeast makes gas.\n\nLet me know if you have any questions.", "Yeast makes gas."),
    ("boilerplate_tail", "酵母是什么？", "一种真菌。希望对你有帮助！", "一种真菌。"),
    ("boilerplate_tail", "Was ist Hefe?", "Ein Pilz. Ich hoffe, das hilft dir!", "Ein Pilz."),
    ("unclosed_fence", "Write code.", "```python\nprint(1)", "```python\nprint(1)\n```"),
    ("unclosed_fence", "Write code.", "```js\nf(1);\n\nThis calls the function.",
     "```js\nf(1);\n```\n\nThis calls the function."),
    ("unclosed_fence", "Write code.", '~~~json\n{"a": 1}\n', '~~~json\n{"a": 1}\n~~~'),
    ("merged_records", ASK, "Gas.\n7. Instruction: Name a bird.\n7. Output: Owl", "Gas."),
    ("merged_records", ASK, "Gas.\n### Instruction:\nName a bird.\n### Response:\nOwl", "Gas."),
    ("merged_records", ASK, "Gas.\n12. Input: 3\n12. Output: 4", "Gas."),
    ("role_confusion", ASK, "Gas.\n\nHuman: Thanks\n\nAssistant: Sure.", "Gas."),
    ("role_confusion", ASK, "Gas.\n### User: And salt?", "Gas."),
    ("role_confusion", "酵母是什么？", "一种真菌。\n用户：谢谢\n助手：不客气", "一种真菌。"),
    ("identity_leak", ASK, "Yeast makes gas in the dough. I am ChatGPT, trained by OpenAI.",
     "Yeast makes gas in the dough."),
    ("identity_leak", ASK, "My knowledge cutoff is September 2021. Yeast makes gas in the dough.",
     "Yeast makes gas in the dough."),
    ("identity_leak", "什么是酵母？", "我是文心一言。 Yeast is a fungus that makes gas.",
     "Yeast is a fungus that makes gas."),
    ("think_tags", ASK, "<think>\n</think>\n\nYeast makes gas.", "Yeast makes gas."),
    ("think_tags", ASK, "<think></think>Gas.", "Gas."),
    ("page_boilerplate", ASK, "Yeast makes gas.\n\n2017 Bread Facts. All rights reserved.", "Yeast makes gas."),
    ("page_boilerplate", ASK, "We use cookies to improve your experience.\nYeast makes gas.", "Yeast makes gas."),
    ("page_boilerplate", "Was ist Hefe?", "Ein Pilz.\nAlle Rechte vorbehalten.", "Ein Pilz."),
    ("list_numbering", "List birds.", "1. Owl\n2. Crow\n3.", "1. Owl\n2. Crow"),
    ("pii", ASK, "Write to dana.w@bakery-studio.com or dana.w@bakery-studio.com.", "Write to [EMAIL_1] or [EMAIL_1]."),
    ("pii", ASK, "Card 4532018844602715, SSN 219-09-9999.", "Card [CARD_1], SSN [ID_1]."),
    ("pii", ASK, "Pay to DE89370400440532013000.", "Pay to [IBAN_1]."),
    ("pii", ASK, "Call +49 30 901820 or 93.184.216.34.", "Call [PHONE_1] or [IP_1]."),
    ("secret", ASK, "Use sk-notarealkey0000demo1111demo2222.", "Use [SECRET]."),
    ("secret", ASK, "```\nkey = AKIAFAKEDEMO00000000\n```", "```\nkey = [SECRET]\n```"),
    ("secret", ASK, "ghp_FakeDemoToken00000000NotARealKey0000", "[SECRET]"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "ask", "answer", "mended"), MENDED)
def test_mends(rule, ask, answer, mended):
    result = run(rule, answer, ask)
    assert result.messages[-1]["content"] == mended
    assert [(f.rule, f.action) for f in result.findings] == [(rule, "repair")]
    assert result.dropped_by is None and result.changed
    again = Purge(rules=(rule,)).row(result.messages, result.input)
    assert not again.changed and not again.findings


CODE = "```python\nx = 1   \r\n\n\n\n\ny = '&amp; <br><br> <|im_end|> \u200b\x07'\n```"
# rule, prompt, answer that only looks like a case
LEFT = [
    ("mojibake", ASK, "Les élèves ont déjà mangé à la crêperie."),
    ("mojibake", ASK, "Über Österreich – “schön”, Ähnlichkeit, ñandú, Ångström."),
    ("control_chars", ASK, "A tab\there and\na line."),
    ("invisible_chars", ASK, "The family emoji 👨\u200d👩\u200d👧 stays."),
    ("invisible_chars", "متن", "می\u200cخواهم بروم"),
    ("invisible_chars", "ภาษาไทย", "ภาษา\u200bไทย"),
    ("blank_runs", ASK, "One.\n\nTwo.  \nThree."),
    ("double_escaped", "How do I write a newline in Python?", r"Use \n for a newline and \n\n for two."),
    ("double_escaped", ASK, r"Take \nabla f \neq 0 and \nu."),
    ("double_escaped", ASK, r"The folders C:\new\name and C:\next\nine."),
    ("html_entities", "What is &amp; in HTML?", "&amp; stands for an ampersand."),
    ("html_entities", ASK, "AT&T; R&D; Q&A; are names."),
    ("html_tags", "Write an HTML page.", "<p>Hello</p><p>World</p>"),
    ("html_tags", ASK, "A List<String> and a Map<K, V> hold <T> values, if a<b and b>c."),
    ("special_tokens", "What does the special token <|im_end|> mean?", "<|im_end|>"),
    ("special_tokens", ASK, "Cross it out: <s>old</s>"),
    ("field_label", "Give a worked form.", "Input: 3\nOutput: 4"),
    ("field_label", ASK, "Answering this is easy: yeast makes gas."),
    ("field_label", "Start with Answer: and then answer.", "Answer: yeast"),
    ("boilerplate_tail", "Write an email to my landlord.", "The tap drips. Let me know if you have any questions."),
    ("boilerplate_tail", ASK, "I hope the dough rises. Then bake it."),
    ("boilerplate_tail", ASK, "I hope this helps!"),
    ("unclosed_fence", "Write code.", "```python\nprint(1)\n```"),
    ("unclosed_fence", "Write code.", "```python\ntotal = (1 +"),
    ("merged_records", ASK, "1. Instruction manuals help.\n2. Input matters."),
    ("merged_records", ASK, "Input: flour\nOutput: bread"),
    ("role_confusion", "Write a dialogue between a user and a bot.", "User: Hi\nBot: Hi\nUser: Bye"),
    ("role_confusion", ASK, "The user: a person. The assistant: a program."),
    ("identity_leak", "Who made ChatGPT?", "It was trained by OpenAI."),
    ("identity_leak", ASK, "Claude Monet painted bread. Gemini is a sign, and I am called Sam."),
    ("think_tags", ASK, "<think>Gas?</think>Yeast makes gas."),
    ("think_tags", ASK, "I think that is it, a < b."),
    ("page_boilerplate", "Write a website footer.", "Contact us.\nAll rights reserved."),
    ("page_boilerplate", ASK, "Read the privacy policy of the mill before you order flour there, then knead."),
    ("list_numbering", "List birds.", "1. Owl\n2. Crow\n3. Wren"),
    ("pii", ASK, "Mail info@example.com, call 555-0123 or (212) 555-0188."),
    ("pii", ASK, "The year 2010-2020, ISBN 978-3-16-148410-0, version 10.2.3.4, card 1234 5678 9012 3456."),
    ("pii", ASK, "IP 192.168.1.1 and 192.0.2.7; IBAN DE00370400440532013000."),
    ("secret", ASK, "The task-oriented sk-learn package and hf_hub are no secrets."),
    *[(rule, ASK, "Here it is:\n\n" + CODE + "\n\nDone.") for rule in
      ("control_chars", "invisible_chars", "blank_runs", "html_entities", "html_tags", "special_tokens")],
]  # fmt: skip


@pytest.mark.parametrize(("rule", "ask", "answer"), LEFT)
def test_leaves_alone(rule, ask, answer):
    result = run(rule, answer, ask)
    assert (result.findings, result.dropped_by, result.changed) == ([], None, False)


@pytest.mark.parametrize("given", ["<noinput>", "None", "N/A", "[No input]", "no input required", "无", "(none)"])
def test_an_input_that_says_there_is_none_is_emptied(given):
    result = run("empty_input_placeholder", "Gas.", given=given)
    assert result.input == "" and result.messages[0]["content"] == ASK
    assert result.findings[0].field == "input" and result.findings[0].detail == given


@pytest.mark.parametrize("given", ["None of the above, I fear", "Nan bread", "input", "0", "No, thanks"])
def test_a_real_input_stays(given):
    assert not run("empty_input_placeholder", "Gas.", given=given).changed


def test_none_is_an_input_where_the_task_is_code():
    assert not run("empty_input_placeholder", "NoneType", ask="Give the Python type.", given="None").changed


def test_repairs_of_instruction_and_input_keep_the_turn_together():
    result = run("html_entities", "Gas.", ask="Salt &amp; bread?", given="flour &amp; water")
    assert result.input == "flour & water"
    assert result.messages[0]["content"] == "Salt & bread?" + JOIN + "flour & water"
    assert {f.field for f in result.findings} == {"instruction", "input"}


def test_the_same_value_gets_the_same_placeholder_in_every_field():
    result = run("pii", "Ask b@real-shop.net, then a@real-shop.net.", ask="Who is a@real-shop.net?")
    assert result.messages[0]["content"] == "Who is [EMAIL_1]?"
    assert result.messages[1]["content"] == "Ask [EMAIL_2], then [EMAIL_1]."
    assert not any(re.search("real-shop", f.detail) for f in result.findings)


def test_a_loop_at_the_end_is_cut_and_the_rest_kept():
    start = " ".join(f"word{i}" for i in range(60))
    result = run("repetition", start + ". " + "and so on we go again. " * 12)
    assert result.messages[-1]["content"].startswith(start)
    assert result.messages[-1]["content"].count("and so on we go again") == 1
    assert result.dropped_by is None


def test_user_turns_in_a_row_are_merged_and_turns_after_the_answer_cut():
    turns = [("user", "Hi."), ("user", "Why?"), ("assistant", "So."), ("user", "Thanks")]
    result = Purge(rules=("broken_roles",)).row([{"role": r, "content": c} for r, c in turns])
    assert result.messages == [
        {"role": "user", "content": "Hi." + JOIN + "Why?"},
        {"role": "assistant", "content": "So."},
    ]
