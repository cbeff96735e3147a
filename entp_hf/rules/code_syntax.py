"""Whether code was cut off: by the language's own parser where there is one, else by its brackets and last line."""

from __future__ import annotations

import ast
import builtins
import json
import re
import warnings

PYTHON = ("python", "py", "python3")
_STRINGS = re.compile(r"\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`[^`]*`")
_COMMENTS = re.compile(r"(?m)(?:(?<!:)//|#|--\s).*$|/\*(?s:.*?)\*/")
_PAIRS = {")": "(", "]": "[", "}": "{"}
_OPEN_END = re.compile(
    r"(?:[,+\-*=/&|.(\[{]|\b(?:and|or|not|in|return|def|class|import|from|where|join|on|select|set))\s*\Z", re.I
)
_NO_CODE = ("text", "txt", "markdown", "md", "console", "output", "plaintext", "diff", "latex", "tex", "mermaid")


def open_brackets(code: str) -> int:
    """Brackets left open at the end; -1 where they are crossed or closed too often."""
    stack: list[str] = []
    for char in _COMMENTS.sub("", _STRINGS.sub("''", code)):
        if char in "([{":
            stack.append(char)
        elif char in _PAIRS and (not stack or stack.pop() != _PAIRS[char]):
            return -1
    return len(stack)


def cut(language: str, code: str) -> bool:
    """Whether a block ends before its code does. Errors in the middle are bad code, not cut code."""
    if not code.strip():
        return False
    if language in PYTHON:
        return _python_cut(code)
    if language in ("json", "jsonc"):
        return _json_cut(code)
    if language in _NO_CODE:
        return False
    return open_brackets(code) > 0


def finished(language: str, code: str) -> bool:
    """Whether an unclosed block holds complete code: then only its fence is missing."""
    last = code.rstrip().rpartition("\n")[2]
    if not code.strip() or cut(language, code):
        return False
    return language in (*PYTHON, *_NO_CODE, "json") or (open_brackets(code) == 0 and not _OPEN_END.search(last))


def _python_cut(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except SyntaxError as error:
        lines = code.rstrip().count("\n") + 1
        message = str(error.msg)
        return (
            "was never closed" in message
            or (
                (error.lineno or 0) >= lines and ("expected an indented block" in message or "unterminated" in message)
            )
            or ("unterminated triple-quoted" in message)
        )
    except (ValueError, RecursionError, MemoryError):
        return False
    return _last_name_cut(tree, code)


def _last_name_cut(tree: ast.Module, code: str) -> bool:
    """`return bes`: the last word is no known name, but the beginning of one."""
    last = re.search(r"([A-Za-z_]\w*)\s*\Z", code)
    if last is None:
        return False
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {a.arg for a in ast.walk(tree) if isinstance(a, ast.arg)}
    names |= {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    loads = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    word = last.group(1)
    known = names | set(dir(builtins))
    return word in loads and word not in known and any(n.startswith(word) for n in names)


def _json_cut(code: str) -> bool:
    try:
        json.loads(code)
    except json.JSONDecodeError as error:
        return error.pos >= len(code.rstrip()) - 1 or error.msg.startswith("Unterminated")
    except RecursionError:
        return False
    return False
