"""What rows ask for: the kind of task, and vectors of the request alone. They decide which rows can be fused.

Not in the paper (arXiv 2510.23160), which takes the nearest rows of a cluster. Read by eye, three of four such groups
could be merged by nobody: `benchmarks/fusion.py` has the figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from ..arrays import FloatMatrix
from ..embedding.embed import Embed
from ..schema import Row, instruction_of, is_single_turn
from ..text.language import language_of, script_of

MOST_CHARS = 220  # of a request that may be fused: a longer one carries a text of its own, or many rules
RELATED = {"embedder": 0.6, "characters": 0.33}  # least cosine of two requests, by what their vectors are made of
SAME = {"embedder": 0.85, "characters": 0.95}  # from here on two requests ask the same: nothing is there to merge
ENGLISH_EMBEDDERS = ("all-MiniLM", "all_minilm", "all-mpnet", "bge-small-en", "bge-base-en", "bge-large-en", "gte-")

_NUMBER = r"(?:\d{1,2}|two|three|four|five|six|seven|eight|nine|ten|a few|some|several)"
_LIST = re.compile(
    r"\A(?:please |can you |could you )?(?:list|name|enumerate|give|suggest|provide|recommend|tell|come up with"
    r"|brainstorm|identify|outline|propose|offer|generate|create|produce|write|make|state|think of|describe"
    r"|what are)\b"
    rf"[^.?!]{{0,40}}?\b(?:{_NUMBER}|list of|ways|tips|ideas|examples|suggestions|strategies|steps|benefits|advantages"
    r"|disadvantages|reasons|methods)\b"
)
_EXPLAIN = re.compile(
    r"\A(?:please |can you |could you )?(?:explain|describe|define|discuss|elaborate|tell me|why|when|where|who|which"
    r"|what(?:'s| is| are| does| do| was| were| did| causes| makes| happens)|compare|contrast|differentiate"
    r"|how (?:does|do|did|is|are|can|to|would|should|was|were)|distinguish|outline|identify|name|analy[sz]e|evaluate"
    r"|(?:provide|give)(?: me)?(?: an?)?(?: brief| short| detailed)? (?:explanation|description|overview|definition)"
    r"|in (?:what|which)|should|is|are|do|does|can)\b"
)
# Tasks of which two don't make one: a second poem, a text of its own, a calculation, a persona.
_APART = re.compile(
    r"\b(?:poem|story|stories|haiku|song|lyrics|letter|e-?mail|tweet|slogan|headline|title|code|program|function"
    r"|script|sql|python|java\w*|html|css|regex|algorithm|equation|solve|calculate|compute|translat\w+|rewrit\w+"
    r"|rephrase|paraphrase|edit|correct|convert|classify|categori[sz]e|complete the|fill in|sentence|paragraph|essay"
    r"|dialogue|conversation|synonym|antonym|rhyme|word|noun|verb|adjective|question|summary of|the following|given"
    r"|this (?:text|passage|article|sentence)|above|below|joke|riddle|caption|hashtag|speech|blog|article|review"
    r"|resume|recipe|design|plan|advertisement|ad|random|array|json|data|chatbot|you are|imagine|pretend|role)s?\b"
    r"|\b(?:your|my|our|me a)\b|\byou (?:had|have|read|felt|like|were|think|know)\b"
)
_LIST_ZH = re.compile(
    r"\A请?(?:列出|列举|给出|提供|说出|举出|建议|推荐|提出|描述|命名)[^。？]{0,6}(?:[一二两三四五六七八九十几0-9]+|一些)"
    r"[个种条项点]|有哪些|哪些方法|方法\Z|建议\Z|技巧"
)
_EXPLAIN_ZH = re.compile(
    r"\A请?(?:解释|描述|说明|介绍|定义|什么是|讨论|阐述|比较|为什么|如何|怎样|怎么|总结|概述|分析|谈谈)"
    r"|(?:是什么|为什么|有什么|如何.{0,12})[？?。]?\Z"
)
_APART_ZH = re.compile(
    r"诗|故事|信件|写信|邮件|代码|程序|函数|翻译|改写|重写|句子|标题|口号|以下|下面|给定|段落|文章|分类|计算|算法|编辑|填空|造句|歌|对话"
    r"|演讲|推文|博客|同义词|反义词|编写|单词|词语|随机|设计|笑话|谜语|广告|文本|上述|输入|数组|你的|我|你认为|你最"
)
# Words of requests that tell the form and not the subject; without them characters compare subjects.
_FORM_ZH = re.compile(
    r"请|描述|解释|列出|列举|给出|说出|提供|建议|推荐|提出|定义|比较|对比|分析|讨论|阐述|介绍|说明|总结|概述|什么是|是什么|为什么|如何|怎样"
    r"|怎么|哪些|什么|术语|短语|概念|含义|意思|区别|区分|之间|重要性|好处|优点|缺点|影响|作用|功能|过程|方法|步骤|例子|示例|不同|类型|主要"
    r"|目的|[一二两三四五六七八九十几0-9]+[个种条项点]|一些|的|和|与|在|对|了|有|是|中|使用|利用|可以|进行|最|结构|阶段|历史|用于|关于|应用"
    r"|特征|特点|生成|创建|写|想出|原因|提示|技巧|[，。？！、“”\"?,.\s]"
)
_FORM_EN = frozenset(
    (
        "a an the of in on for to and or is are was were be been do does did how what why when where which who whose "
        "that this these those it its with by from as at your you i my me can could should would will may might "
        "explain describe list name give suggest provide identify define discuss outline example way tip step benefit "
        "advantage disadvantage main key major important importance difference between different type kind using use "
        "used make making role impact effect affect people person some most more common best good help create "
        "generate write tell three two four five ten concept term reason method process idea about into their there "
        "has have having one each other such than improve increase any if not help "
    ).split()
)
_WORD = re.compile(r"[^\W\d_]{3,}")


def task_of(row: Row) -> str:
    """Rows of one task may be fused: "ask-en" for English requests for knowledge (an explanation, a list), or "".

    None are rows with an input text, tools or several turns; long requests; and tasks of which two don't make one (a
    story, code, a translation). In other languages than English and Chinese the words that tell are not known: none.
    """
    if row.get("input") or row.get("tools") or not is_single_turn(row):
        return ""
    text = instruction_of(row).strip()
    if not text or len(text) > MOST_CHARS or "\n" in text:
        return ""
    script = script_of(text)
    if script.name == "han":
        found = not _APART_ZH.search(text) and (_LIST_ZH.search(text) or _EXPLAIN_ZH.search(text))
        return "ask-zh" if found else ""
    lower = text.lower()
    if script.name != "latin" or _APART.search(lower) or not (_LIST.search(lower) or _EXPLAIN.search(lower)):
        return ""
    return "ask-en" if language_of(text, script)[0] == "en" else ""


def subject_words(text: str) -> frozenset[str]:
    """Stems of the words that tell an English request's subject; empty for other scripts."""
    return frozenset(
        re.sub(r"(?:ies|es|s|ing|ed|al|ly)\Z", "", word) if len(word) > 4 else word
        for word in _WORD.findall(text.lower())
        if word.isascii() and word not in _FORM_EN and word.rstrip("s") not in _FORM_EN
    )


def knows(embedder: str, task: str) -> bool:
    """Whether the embedding model knows a task's language; of models that we have no notes on we believe it."""
    return task.endswith("-en") or not any(name in embedder for name in ENGLISH_EMBEDDERS)


def measure_of(task: str, embedder: str) -> str:
    """What a task's vectors are made of: "embedder", or "characters" where it does not know the language."""
    return "embedder" if knows(embedder, task) else "characters"


def request_bounds(tasks: Iterable[str], embedder: str) -> dict[str, tuple[float, float]]:
    """For each task the least cosine of two requests that are related, and the one from which they ask the same."""
    return {task: (RELATED[m], SAME[m]) for task in set(tasks) if task and (m := measure_of(task, embedder))}


def request_vectors(rows: Sequence[Row], tasks: Sequence[str], embed: Embed) -> FloatMatrix:
    """(n, d) float32, each of length 1: the request of each row that has a task; 0 for the others.

    Requests in a language that the embedder doesn't know are compared by their pairs and triples of characters,
    weighted by rarity (TF-IDF) and projected to d dimensions at random; the words of form are left out.
    """
    texts = [instruction_of(row).strip() for row in rows]
    known = [i for i, task in enumerate(tasks) if task and knows(embed.model, task)]
    rest = [i for i, task in enumerate(tasks) if task and not knows(embed.model, task)]
    vectors = embed.encode([texts[i] for i in known] or ["-"], "requests")
    out = np.zeros((len(texts), vectors.shape[1]), np.float32)
    if known:
        out[known] = vectors
    if rest:
        out[rest] = _by_characters([_FORM_ZH.sub(" ", texts[i]) for i in rest], vectors.shape[1])
    return out


def _by_characters(texts: Sequence[str], size: int) -> FloatMatrix:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize
    from sklearn.random_projection import SparseRandomProjection

    told = [text if text.strip() else "-- --" for text in texts]
    counts = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), sublinear_tf=True).fit_transform(told)
    projected = SparseRandomProjection(size, density=1 / 3, random_state=0, dense_output=True).fit_transform(counts)
    found: FloatMatrix = normalize(projected).astype(np.float32)
    return found
