"""Detect by cue words what a prompt, in lower case, asks for; rules use it for their exemptions."""

from __future__ import annotations

import re

_ASKED = re.compile(
    r"\b(?:list|name|give(?: me)?|provide|suggest|write|generate|create|identify|come up with|here are"
    r"|these are|the following|tell me)"
    r"(?: (?:me|us|the|a list of|of|top|at least|down|some|my|exactly))* (\d{1,2}|two|three|four|five|six"
    r"|seven|eight|nine|ten)\b(?! ?(?:%|percent|words?|sentences?|paragraphs?|lines?|letters?|minutes?|hours?"
    r"|days?|years?|digits?|characters?|step|to |-|–|or |,|\.\d|by|dollars|people))"
)
_NUMBERS = {w: n for n, w in enumerate("zero one two three four five six seven eight nine ten".split())}


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(alternatives) + r")")


CODE = re.compile(
    r"\bregular expression|\b(?:code|coding|command|program|function|script|python|java|javascript|typescript"
    r"|sql|query|regex|c\+\+|rust|golang|bash"
    r"|shell|api|json|yaml|xml|html|css|class|algorithm|compil|debug|variable|array|dataframe|docker|git|react"
    r"|php|ruby"
    r"|swift|kotlin|latex)\b|代码|函数|程序|código|programa|コード|関数|код"
)
ESCAPES = re.compile(
    r"\bescap|\bregex|regular expression|\bjson\b|newline|line break|backslash|\bprintf?\b|\blatex\b|\bstring literal"
    r"|\\[nt]\b|转义|换行"
)
MARKUP = re.compile(
    r"\bx?html|\bxml\b|\bcss\b|\bsvg\b|\bweb ?(?:page|site)|\btags?\b|\bmarkup\b|\bmarkdown\b|\bentit(?:y"
    r"|ies)\b|\bjsx\b"
    r"|\bfonts?\b|\bbold\b|\bitalic|\bunderlin|\bhighlight|\btypograph|\bformatting\b|\bweb app"
    r"|\breact\b|\bvue\b|\bangular\b|\bjinja|\btemplate engine|\bjavascript\b|\bphp\b|\bhyperlink|\banchor\b|\brss\b"
    r"|网页|标签|página web|site web|webseite"
)
STYLING = re.compile(
    r"\bbold\b|\bitalics?\b|\bstress\b|\bemphasi|\bunderlin|\bstrike|\bline.?(?:break|end)|\bnew.?line"
    r"|\bend (?:a|the) line"
    r"|\bheading|\bforum|\bwikis?\b|\bbbcode|\bmark(?:up|down)\b|\bsub(?:script|title)|\bsuperscript|\bhyperlink"
    r"|\btags?\b|\breadme\b|\bnon-?breaking|\bindent|\bspacing|\bfett\b|\bkursiv|\bnegrita|\bcursiva|\bgras\b"
    r"|\bitalique|\bzeilenumbruch|\bsalto de línea|\bsaut de ligne|粗体|斜体|换行|太字|改行"
)
SHOWS_MARKUP = re.compile(r"</?[a-z][^<>]*>|&#?[a-z0-9]+;")
ASKS_MEANING = re.compile(r"\bwhat (?:is|are|does|do)\b|\bmeans?\b|\bmeaning\b|\bstands? for\b")
TOKENS = re.compile(r"special token|chat template|tokeni[sz]er|end.of.(?:text|sequence)|<\|\w+\|>|chatml|\[inst\]")
LETTER = re.compile(
    r"\be-?mails?\b|\bletters?\b|\bwrite (?:back|to)\b|\breply\b|\brespon(?:d|se) to\b|\bcustomers?\b|\bmessage\b"
    r"|\bdialog(?:ue)?\b|\bconversation\b|\bchat ?bot\b|\bscript\b|\binvitation|\bthank.you\b|\bnote\b|\bpost\b"
    r"|\bcorreo\b|\bcarta\b|\bbrief\b|\blettre\b|\bcourriel\b|邮件|信件|信|メール|手紙|письм|رسالة|이메일|편지"
)
TEMPLATE = re.compile(
    LETTER.pattern + r"|\btemplates?\b|\bforms?\b|\bresum[eé]\b|\bcv\b|\bcontract|\bagreement|\binvoice|\bplaceholder"
    r"|\bfill.in\b|\bblanks?\b|\boutline\b|\bmad ?libs?\b|\bpress release|\bproposal\b|\bspeech\b|\bsample\b"
    r"|\bpolicy\b"
    r"|\bplantilla|\bvorlage|\bmodèle\b|\bmodelo\b|模板|模版|шаблон|テンプレート"
)
CREATE = re.compile(
    r"\b(?:write|create|draft|generate|compose|design|make|prepare|provide|give|produce|fill|build|develop"
    r"|construct)\b"
    r"|escrib|crea|redact|schreib|erstell|écri|rédig|escrev|写|创建|生成|書|作成|напиш|состав|اكتب"
)
DIALOGUE = re.compile(
    r"\bdialog(?:ue)?|\bconversation|\bscript\b|\binterview|\btranscript|\bscene\b|\bplay\b|\bskit|\bchat\b"
    r"|\bchat ?bot"
    r"|\bq\s?&\s?a\b|\bjokes?\b|\bpuns?\b|\briddle|\btrivia\b|\bquiz|\bquestions? and answers?|\bfaq\b|\brole.?play"
    r"|\bscreenplay|\bhuman:|\buser:|\bassistant:|\bq:"
    r"|\bprompts?\b|\bexchange\b|\bdiálogo|\bdialog|\bconversación|\bconversa\b|\bgespräch|对话|对白|聊天|脚本"
    r"|剧本|会話"
    r"|対話|диалог|대화|حوار"
)
COPYING = re.compile(
    r"\b(?:repeat|copy|copies|echo|correct|proof ?read|translat\w*|paraphras\w*|format|reformat|extract\w*|classif\w*"
    r"|categori\w*|quot\w*|grammar\w*|punctuat\w*|spell\w*|capitali\w*|edit\w*|fix\w*|check\w*|verbatim"
    r"|sort\w*|arrang\w*"
    r"|rearrang\w*|select|choose|pick|highlight|underline|find|identify|locate|detect|return|output|print"
    r"|remove|delete"
    r"|order|reorder|convert|transcribe|rank|generate a sentence|which|name|complete|fill"
    r"|plagiar\w*|error\w*|mistake\w*"
    r"|match|pair|read|commas?|cite|citation|divide|split|separate|upper ?case|lower ?case|clean|refactor"
    r"|optimi[sz]e|debug|lint)\b"
    r"|翻译|改正|纠正|修改|提取|分类|重复|抄写|排序|选择|更正|修正|编辑|删除|匹配|语法|拼写|标点|检查|校对"
    r"|找出|识别|朗读|分隔|插入|逗号|traduc\w*|corrig\w*|repit\w*|übersetz\w*|korrigier\w*|wiederhol\w*"
    r"|tradui\w*|répét\w*|traduz\w*|翻訳|訂正|抜き出|перевед\w*|исправ\w*|повтор\w*|번역|ترجم"
)
EDITING = re.compile(
    r"\b(?:change|rewrite|reword|rephrase|combine|replace|insert|update|turn|transform|add|make|adjust|modify"
    r"|organi[sz]e"
    r"|improve|swap|shorten|simplify|convert|put|join|merge|negat\w+|expand|revise|restructure|break|tense"
    r"|passive|active)\b"
    r"|改|换|添加|合并|重写|变|转|组织|使|put|cambi|reescrib|umschreib|änder|réécri|reescrev|書き換え|измени"
    r"|переп|다시|أعد"
)
TRANSLATION = re.compile(
    r"\btranslat|\blanguage|\bhow (?:do|would) you say|\bword for\b|\bphrase|\bpronounc"
    r"|\b(?:english|french|spanish|german|italian|portuguese|chinese|mandarin|japanese|korean|russian|arabic"
    r"|hindi|latin|greek"
    r"|dutch|swedish|turkish|polish|hebrew|vietnamese|thai|indonesian|español|inglés|francés|alemán|englisch"
    r"|französisch"
    r"|spanisch|deutsch|anglais|espagnol|allemand|français|inglês|francês|espanhol)\b"
    r"|翻译|英文|英语|法语|中文|日语|西班牙语|德语|翻訳|英語|日本語|traduc|traduz|tradui|übersetz|перевед|англ"
    r"|번역|영어|ترجم|الإنجليزية"
)
VERSE = re.compile(
    r"\bmusic|\bpoem|\bpoet|\bhaiku|\bsong|\blyric|\brhym|\blimerick|\bsonnet|\bverse|\bchant|\brap\b"
    r"|\btongue.twister|\bjingle"
    r"|\bslogan|\bhaikai|\bode\b|\bballad|\bacrostic|诗|歌|词|俳句|poema|gedicht|poème|canci[oó]n|стих|песн|시를|قصيدة"
)
LISTS = re.compile(
    r"\bwhether|\bclassif|\bwhich\b|\bmultiple.choice|\btable\b|\blist|\bbullet|\bascii\b|\bpattern|\bsequence"
    r"|\brepeat|\brows?\b|\bgrid|\bsurvey|\bquestionnaire|\bquiz|\bchart|\bdata ?set|\bplan\b|\broutine|\bschedule"
    r"|\bname all|\btruth table|\bmerge|\balgorithm|\bform\b|\bphases|\bmatrix|表格|列表"
)
ELABORATE = re.compile(
    r"\b(?:explain|(?<!to )(?<!that )(?<!which )describe|discuss"
    r"|elaborate|summari[sz]e|compose|draft|outline|compare|contrast|analy[sz]e|essay"
    r"|paragraph|story|instructions|recipe)\b|\bwrite (?:a|an|the|some|two|three|\d+) (?!word|number|name"
    r"|title|synonym"
    r"|antonym|verb|noun|adjective|adverb|expression|equation|formula|date|query|single|one|letter |regex|regular)"
    r"|^(?:请)?(?:解释|描述|说明)|写一篇|写一段|\bexplica|\bdescribe\b|erkläre|beschreib|expliqu|décri"
    r"|explique|descreva|説明|объясн|опиши|설명|اشرح"
)
BRIEF = re.compile(
    r"\b(?:one|single|a) (?:word|number|letter|phrase|term)|\bin (?:one|two|a few|\d+) words?\b|\bword that"
    r"|\b(?:word|phrase)s?\b"
    r"|\b(?:write|provide|give|tell|name|generate|list|use)(?: me| us)? (?:an?|the|one|two|three|\d+|your)?"
    r"\W?(?:[\w-]+ ){0,2}"
    r"(?:[\w-]+-)?(?:adjective|adverb|noun|verb|pronoun|numeral|plural|singular|command|synonym|antonym|prefix"
    r"|acronym)"
    r"|\bclassif|\bcategor|\bidentif|\byes or no|\btrue or false|\bone-word|\bwhich of|\btitle|\bname (?:of"
    r"|the|a)\b|\bmultiple choice"
    r"|\bchoose|\bselect\b|\bfill in|\bcomplete\b|\bdetermine|\bdecide|\bis (?:it|this|the|that)\b|词|选择|分类|判断"
)
SYMBOLS = re.compile(
    r"punctuat|symbol|character|emoji|emoticon|operator|\bmark\b|\bmorse|\bascii|\bpattern|标点|符号|表情"
)
FILLER_WANTED = re.compile(
    r"lorem|ipsum|placeholder|filler|dummy|\blatin\b|keyboard|typing|\btest (?:data|string|text)|nonsense|gibberish"
)
ARITHMETIC_WANTED = re.compile(
    r"\b(?:wrong|incorrect|mistake|error|false|fake|joke|modulo|base \d|binary|hexadecimal|octal|clock)\b"
)


def asked_for(text: str) -> list[int]:
    """How many things each phrase of `text` asks for: [2, 3] for "list two risks and name 3 gains"."""
    return [_NUMBERS.get(found) or int(found) for found in _ASKED.findall(text.lower())]
