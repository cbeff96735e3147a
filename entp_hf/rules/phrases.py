"""Phrases by language. Every pattern is of its own language and matches lower-case text, so no list crosses over."""

from __future__ import annotations

import re

NO_INPUT = re.compile(
    r"[\[(<{]?\s*(?:no[ _-]?input(?: (?:is )?(?:required|needed|provided|given))?|none|n/?a|n\.a\."
    r"|not applicable|null|nan"
    r"|empty|无|无输入|没有输入|なし|없음|нет|aucune?|ninguna?|sin entrada|keine?|nenhuma?|لا يوجد)\s*[\])>}.]?",
    re.I,
)

_LABEL = r"\A\s*(?:#{1,4}\s*|\*{1,2})?(?:%s)\s*(?:\*{1,2})?\s*[:：]\s*(?:\*{1,2})?\s*"
LABELS = {
    "instruction": re.compile(
        _LABEL % r"instructions?|question|q|prompt|task|指令|问题|指示|instrucci[oó]n|pregunta|anweisung|frage"
        r"|инструкция|вопрос",
        re.I,
    ),
    "input": re.compile(_LABEL % r"input|context|输入|入力|entrada|eingabe|entrée|ввод", re.I),
    "response": re.compile(
        _LABEL
        % r"response|output|answer|a|assistant|ai|bot|gpt|回答|答案|答|输出|回复|出力|답변|respuesta|salida|antwort"
        r"|ausgabe|réponse|resposta|saída|ответ|الإجابة|الجواب",
        re.I,
    ),
}

BOILERPLATE_CUES = (
    "hope", "let me know", "anything else", "feel free", "hesitate", "if you ", "espero", "no dude", "hésite",
    "hoffe", "fragen", "wissen", "fique", "tiver",
)  # fmt: skip
BOILERPLATE_CUES_BEYOND = (
    "希望", "如果", "还有", "avísame", "¿hay", "espère", "hésite", "zögern", "dúvida", "お役に", "他に", "ほかに",
    "ご不明", "お気軽", "도움이", "궁금", "질문", "надеюсь", "если у", "آمل", "إذا كان", "تتردد",
)  # fmt: skip
BOILERPLATE = (
    # en
    re.compile(
        r"\bi hope (?:this|that|it|these) (?:\w+ )?(?:helps?|helped|answers?|clarif\w+|is (?:helpful|useful)"
        r"|was (?:helpful|useful))"
        r"|\bhope (?:this|that) helps\b"
        r"|\blet me know if (?:you|there|this|i can|anything)|\bis there anything else (?:i can|you|that)"
        r"|\bfeel free to (?:ask|reach out|let me know|contact)|\bplease (?:don't|do not) hesitate to (?:ask"
        r"|reach|contact)"
        r"|\bif you (?:have|need) any (?:more|other|further|additional)?\s*(?:questions?|help|assistance)\b.{0,60}"
        r"(?:ask|let me know|reach out|contact|here to help|happy to)"
    ),
    re.compile(
        r"希望(?:这|对|能|以上).{0,12}(?:帮助|有用)|如果(?:您|你)?(?:还)?有(?:任何|其他|什么).{0,8}(?:问题"
        r"|疑问)|还有(?:什么|其他).{0,10}(?:帮|可以为您)"),
    re.compile(
        r"\bespero que (?:esto|te|le|os|les) .{0,20}(?:ayude|sirva|útil)|\bno dude[sn]? en (?:preguntar"
        r"|contactar|consultar)|\bavísame si\b|\b¿hay algo más en (?:lo )?que"),
    re.compile(
        r"\bn['’]hésite[zs]? pas à (?:me |nous )?(?:poser|demander|contacter|revenir)"
        r"|\bj['’]espère que (?:cela|ça|ceci) .{0,20}(?:aide|utile)"
    ),
    re.compile(
        r"\bich hoffe,? (?:das|dies|es) .{0,20}(?:hilft|geholfen|hilfreich)|\bwenn (?:du|sie) (?:noch"
        r"|weitere) fragen|\blass mich wissen, (?:wenn|ob)|\bzögern sie nicht"),
    re.compile(
        r"\bespero (?:que isso|ter) .{0,20}(?:ajud|útil)|\bse (?:você )?tiver (?:mais |outras "
        r"|alguma )?(?:dúvida|pergunta)s?|\bfique à vontade para (?:perguntar|entrar)"),
    re.compile(
        r"お役に立て(?:れば|ると|たら)|(?:他に|ほかに).{0,12}(?:ご質問|質問|お手伝い)"
        r"|ご不明な点.{0,20}(?:ください|下さい)|お気軽に(?:お尋ね|ご質問|お問い合わせ)"),
    re.compile(r"도움이 되(?:었|셨|길|기를|면)|(?:더|다른) (?:궁금|질문).{0,20}(?:주세요|말씀)"),
    re.compile(
        r"надеюсь,? (?:это|что это|эт).{0,20}(?:помо|полез)|если у (?:вас|тебя) (?:есть|возникнут"
        r"|остались).{0,20}вопрос"),
    re.compile(r"آمل أن (?:يكون|تكون|يساعد).{0,30}|إذا كان لديك (?:أي|المزيد).{0,20}(?:سؤال|أسئلة|استفسار)"
               r"|لا تتردد في"),
)  # fmt: skip

# The start of an answer that declines.
REFUSAL = (
    re.compile(
        r"(?:\bi(?:['’]m| am) (?:really |very |so )?(?:sorry|afraid)\b|\bi apologi[sz]e|\bunfortunately\b"
        r"|\bsorry\b|\bas an? (?:\w+ )?(?:ai|(?:artificial|large|language))\b"
        r"|\ai (?:cannot|can['’]t|am unable|am not able|won['’]t|will not)).{0,120}?"
        r"\b(?:can(?:no|['’])t|cannot|unable to|not able to|won['’]t|will not|don['’]t have (?:access"
        r"|the ability|enough)|not (?:allowed|permitted|programmed|capable|comfortable)"
        r"|do not (?:have (?:access|the ability)|provide|engage))\b"
        r"|\bi (?:cannot|can['’]t|am unable to|am not able to|won['’]t) (?:assist|help|comply|fulfil|provide"
        r"|answer|create|generate|engage|discuss|offer|complete|process|do that)"
        r"|\bagainst my programming|\bas an? (?:ai|artificial intelligence) (?:language )?model,? i (?:do not"
        r"|don['’]t|am not)",
        re.S,
    ),
    re.compile(
        r"(?:作为|身为|我是)(?:一个|一名|一款)?(?:人工智能|ai|语言模型|大型语言).{0,30}(?:无法|不能|没有)"
        r"|(?:抱歉|对不起|很遗憾|不好意思).{0,30}(?:无法|不能|没办法|不可以)|我(?:无法|不能)(?:回答|提供|帮助"
        r"|协助|满足|完成|执行)"),
    re.compile(
        r"(?:lo siento|lo lamento|disculp\w+|como (?:un )?(?:modelo|ia|inteligencia)).{0,80}\bno (?:puedo"
        r"|soy capaz|me es posible|estoy)|\bno puedo (?:ayudar|cumplir|proporcionar|responder|asistir)"),
    re.compile(
        r"(?:désolée?|je m['’]excuse|en tant qu['’](?:ia|intelligence|assistant)"
        r"|en tant que modèle).{0,80}\bje ne (?:peux|suis|puis)|\bje ne (?:peux|suis) pas (?:vous "
        r"|t['’])?(?:aider|répondre|capable|fournir|en mesure)"),
    re.compile(
        r"(?:tut mir leid|entschuldigung|leider|bedaure|als (?:ein )?(?:ki|sprachmodell"
        r"|künstliche)).{0,80}(?:kann (?:ich|ihnen)|ich kann|darf ich|ich darf|bin ich nicht"
        r"|ich bin nicht).{0,80}"
               r"(?:nicht|kein)|\bals (?:ki|sprachmodell).{0,20}kann ich (?:nicht|kein)"),
    re.compile(
        r"(?:desculp\w+|sinto muito|lamento|infelizmente|como (?:um |uma )?(?:modelo|ia"
        r"|inteligência)).{0,80}\bnão (?:posso|consigo|sou capaz|estou|tenho)|\bnão posso (?:ajudar|fornecer"
        r"|responder|cumprir)"),
    re.compile(
        r"(?:申し訳|すみません|ごめんなさい|aiとして|言語モデルとして).{0,60}(?:できません|できかねます"
        r"|お答えでき|いたしかねます|ありません)|(?:お答え|お手伝い|提供|対応)(?:することは)?(?:できません"
        r"|できかねます)"),
    re.compile(r"(?:죄송|미안|유감|언어 ?모델로서|인공지능으로서).{0,60}(?:없습니다|못합니다|어렵습니다"
               r"|없어요|수 없)"),
    re.compile(
        r"(?:извините|простите|к сожалению|прошу прощения|как (?:языковая|искусственный"
        r"|ии)).{0,80}(?:не (?:могу|способ|имею|в состоянии))|я не могу (?:помочь|ответить|предоставить"
        r"|выполнить)"),
    re.compile(
        r"(?:آسف|عذر|أعتذر|للأسف|بصفتي|كنموذج|كوني نموذج).{0,80}(?:لا (?:أستطيع|يمكنني|أقدر|يمكن)|لست قادر"
        r"|غير قادر)|لا (?:أستطيع|يمكنني) (?:مساعدت|تقديم|الإجابة)"),
)  # fmt: skip
REFUSAL_ASCII = (REFUSAL[0], *REFUSAL[2:5])  # en, es, fr, de: the others have letters beyond ASCII
# What every refusal has one of; the second list only for text beyond ASCII.
REFUSAL_CUES = (
    "sorry", "afraid", "apologi", "unfortunately", "cannot", "can't", "unable", "not able", "won't", "as an ",
    "as a ", "programming", "siento", "lamento", "disculp", "como ", "puedo", "posso", "excuse", "tant que",
    "tant qu", "ne peux", "ne suis", "leid", "entschuldigung", "leider", "bedaure", "als ", "desculp", "muito",
    "infelizmente",
)  # fmt: skip
REFUSAL_CUES_BEYOND = (
    "can’t", "抱歉", "对不起", "遗憾", "不好意思", "作为", "身为", "我是", "无法", "不能", "désol", "申し訳",
    "すみません", "ごめん", "として", "できません", "かねます", "죄송", "미안", "유감", "로서", "извини", "прости",
    "сожалени", "прошу", "как ", "не могу", "آسف", "عذر", "أعتذر", "للأسف", "بصفتي", "كنموذج", "كوني", "لا أستطيع",
    "لا يمكنني",
)  # fmt: skip

# Names that only a model has; the others are also people's, animals', winds' and signs of the zodiac.
_MODELS = r"chat ?gpt|gpt-?[345o][\w.]*|deepseek|qwen|文心一言|通义千问|豆包"
_SHARED = r"claude|gemini|bard|llama|mistral|copilot|ernie|kimi|grok"
_MAKERS = (
    r"open ?ai|anthropic|google(?: deepmind)?|meta(?: ai)?|deepseek|alibaba|microsoft|baidu|mistral ai|阿里巴巴|百度"
)
# What tells a model from its namesakes, in the same sentence.
_AS_MODEL = (
    rf"(?:\ban? (?:ai|large|artificial|language|virtual)\b|\bai\b|assistant\b|language model|chatbot|{_MAKERS}"
    r"|人工智能|语言模型|助手)"
)
IDENTITY = re.compile(
    rf"\b(?:i am|i['’]m|my name is|(?<!such )as|i am called) (?:an? )?(?:{_MODELS})(?![-\w]| (?:user|fan|expert"
    rf"|developer|trainer"
    rf"|subscriber))"
    rf"|\b(?:i am|i['’]m|my name is|as|call me) (?:{_SHARED})\b(?=[^.!?\n]{{0,80}}{_AS_MODEL})"
    rf"|\b(?:i am|i['’]m|as) [^.!?\n]{{0,60}}(?:model|assistant|ai|chatbot),? [^.!?\n]{{0,40}}"
    rf"\b(?:trained|developed|created|made|built) by (?:{_MAKERS})\b"
    rf"|\bi (?:was|am|have been) (?:trained|developed|created|built|made) by (?:{_MAKERS})\b"
    rf"|\bmy (?:knowledge|training)(?: data)? cut-?off\b|\bmy (?:knowledge|training data) (?:only goes|ends"
    rf"|is limited to"
    rf"|was last|stops)"
    rf"|\bmy last (?:knowledge |training )?update\b(?! (?:on|about|to|from|for)\b)(?=[^.!?\n]*\b(?:19|20)\d\d\b)"
    rf"|\bmy last knowledge update\b|\bas of my (?:last (?:knowledge |training )?(?:update(?! (?:on|about|to"
    rf"|from|for)\b)|cut)|knowledge|training data)"
    rf"|我(?:是|叫|的名字是)(?:一个)?(?:{_MODELS})|由(?:{_MAKERS})(?:训练|开发|创建|研发)的?(?:人工智能"
    rf"|大?型?语言模型|模型|助手|ai)"
    rf"|我(?:是|叫)(?:{_SHARED})(?=[^。！？\n]{{0,40}}(?:人工智能|模型|助手))|我的知识截止"
    rf"|我(?:是)?由(?:{_MAKERS})(?:训练|开发|创建|研发)"
    rf"|\b(?:soy|je suis|ich bin|eu sou|sou o) (?:{_MODELS})\b|私は(?:{_MODELS})|저는 (?:{_MODELS})|я (?:—|-"
    rf"|–)?\s?(?:{_MODELS})|أنا (?:{_MODELS})"
    rf"|\b(?:soy|je suis|ich bin|eu sou) (?:{_SHARED})\b(?=[^.!?\n]{{0,60}}(?:\b(?:ia|ki|asistente|assistant"
    rf"|assistente"
    rf"|sprachmodell|modelo|modèle)\b|{_MAKERS}))"
    r"|\b(?:entrenado|entraîné|trainiert|treinado) (?:por|par|von) openai|мои знания ограничены"
    r"|\bmi (?:fecha de )?corte de conocimiento"
)

# An answer that speaks as a model without naming one.
DISCLAIMER = re.compile(
    r"\bi(?:['’]m| am) (?:just |only )?an? (?:ai|artificial intelligence|large) (?:language )?(?:model|assistant)\b"
    r"|\bas an? (?:ai|artificial intelligence)\b(?: (?:language )?(?:model|assistant))?"
    r"|(?:作为|身为|我是)(?:一个|一名|一款)?(?:ai|人工智能|大型语言|语言)(?:语言)?(?:模型|助手)"
    r"|\ben tant qu(?:e modèle de langage|['’]ia\b)|\bcomo (?:un )?modelo de lenguaje|\bals ki-sprachmodell"
    r"|\bcomo (?:um )?modelo de linguagem|言語モデルとして|언어 ?모델로서|как языковая модель|كنموذج لغوي"
)

# Words that no sentence ends with.
DANGLING = {
    "en": frozenset(
        "the a an and or but nor of to from with for at by as into onto than that which who whose whom because "
        "although"
        " while if when where unless until since its their his her your my our is are was were be been has have"
        " had will"
        " would could should can may might must it's i'm they're we're you're i've such very more most each every this"
        " these those no not also so then between among during without within towards toward upon about it in on we he"
        " she they".split()
    ),
    "es": frozenset(
        "el la los las un una unos unas de del a al y o u e en con por para que como pero porque su sus se es s"
        "on muy más lo le si cuando".split()),
    "fr": frozenset(
        "le la les un une des de du à au aux et ou en avec pour par que qui dont mais parce car son sa ses leur"
        " est sont très plus ce cette si dans sur".split()),
    "de": frozenset(
        "der die das den dem des ein eine einen einem einer und oder aber mit von zu zum zur im in am an auf fü"
        "r durch dass weil wenn ist sind sehr sein seine ihr ihre wie als".split()),
    "pt": frozenset(
        "o a os as um uma uns umas de do da dos das e ou em no na nos nas com por para que como mas porque seu "
        "sua se é são muito mais ao à".split()),
    "ru": frozenset(
        "и или но а в на с со к по о об от до для из за что который которая которые когда если чтобы как его её"
        " их не".split()),
    "ar": frozenset("و أو في من إلى على عن مع أن التي الذي هذا هذه كما لأن ثم".split()),
}  # fmt: skip
DANGLING_END = re.compile(r"(?:[和与或的在是把被对从向为]|(?:因为|所以|但是|而且|以及)|[、，,])\Z")

IMPOSSIBLE = re.compile(
    r"\bi(?:['’]ve| have)(?: just| already| now| successfully)? (?:sent|emailed|e-mailed|booked|ordered"
    r"|purchased|scheduled|deleted the (?:file|row|record)|uploaded|downloaded|attached|called|texted"
    r"|set (?:an?|the|your) (?:alarm|reminder|timer)|saved the file|printed|posted|reserved|transferred|paid"
    r"|turned (?:on|off)|played|opened the|updated (?:your|the) (?:database|file|account|calendar))\b"
    r"|\bthe (?:font|background|text|heading|title|colou?r|image|photo|file|document|cell|row|page)(?: (?:size"
    r"|colou?r|style|of \w+))? ha(?:s|ve) been (?:successfully )?(?:changed|increased|decreased|resized|edited"
    r"|deleted|updated|saved|uploaded|added|cropped|set)\b"
    r"|\b(?:the|your) (?:email|message|reminder|alarm|timer|appointment|meeting|order|database|calendar"
    r"|payment|reservation|file|ticket) (?:has|have) been (?:successfully )?(?:sent|set|booked|scheduled"
    r"|placed|updated|created|deleted|confirmed|saved)\b"
    r"|\bhere(?: is|['’]s) (?:the|your|an?) (?:image|picture|photo|video|audio|recording|drawing)\b"
    r"|已(?:经)?(?:为您|帮您|给您|成功)?(?:发送|预订|预约|删除|上传|设置好|更改)(?:了)?(?:邮件|闹钟|提醒|文件"
    r"|订单|会议|字体)?[。！]|(?:字体|背景)(?:大小|颜色)?已(?:经)?(?:被)?(?:更改|增大|修改)"
    r"|\bhe enviado (?:el|la|un)|\bj['’]ai envoyé (?:le|un|l['’])|\bich habe (?:die|eine|den) (?:e-?mail"
    r"|termin|nachricht) (?:gesendet|verschickt|gebucht)"
)

IMPOSSIBLE_CUES = (
    "i have ", "i've ", "i’ve ", " been ", "here is ", "here's", "here’s", "he enviado", "envoyé", "ich habe", "已",
)  # fmt: skip
PAGE_CUES = (
    "reserved", "cookie", "privacy policy", "terms of", "newsletter", "share ", "follow us", "click here", "©",
    "copyright", "agree to our", "reservad", "réservés", "vorbehalten", "版权所有", "все права", "محفوظة",
    "모든 권리",
)  # fmt: skip
PAGE_LINE = re.compile(
    r"all rights reserved|(?:we|this (?:web)?site) uses? cookies|our cookie policy|accept (?:all )?cookies"
    r"|\A\W*(?:privacy policy|terms of (?:use|service))\b.{0,40}\Z|agree to our (?:privacy|terms)"
    r"|subscribe to our newsletter"
    r"|share (?:this )?on (?:facebook|twitter)|follow us on (?:facebook|twitter|instagram)"
    r"|click here to (?:read|subscribe|continue|view)"
    r"|©\s?(?:19|20)\d\d|copyright (?:©|\(c\)) ?\d{4}"
    r"|todos los derechos reservados|tous droits réservés|alle rechte vorbehalten|todos os direitos reservados"
    r"|版权所有(?![者权])|все права защищены|جميع الحقوق محفوظة|모든 권리 보유"
)
