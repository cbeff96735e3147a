"""Licence of a mix: combine the licences of the sources. Not legal advice: it errs to "other".

Compatibility of the Creative Commons licences after their own chart (https://wiki.creativecommons.org/wiki/
Wiki/cc_license_compatibility); a later version may take the place of an earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

UNKNOWN = "unknown-inherits-from-the-source"
# Identifiers that the Hub knows, of the licences that training data comes under; all others are "other" with a name.
LICENCES = frozenset(
    "apache-2.0 mit bsd-2-clause bsd-3-clause cc cc0-1.0 cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 "
    "cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-nc-nd-4.0 odc-by odbl "
    "pddl gpl-3.0 agpl-3.0 lgpl-3.0 mpl-2.0 unlicense wtfpl afl-3.0 artistic-2.0 cdla-permissive-2.0 cdla-sharing-1.0 "
    "openrail".split()
)
FREE = frozenset({"cc0-1.0", "pddl", "unlicense", "wtfpl"})  # ask for nothing, so they join any other
SHARE_ALIKE = frozenset({"odbl", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "cdla-sharing-1.0"})
_CC = re.compile(r"cc-(by(?:-nc)?(?:-sa|-nd)?)-(\d\.\d)")
# Terms of a mixture of two Creative Commons licences; pairs that are not here can't be mixed.
_JOINS = {
    frozenset({"by"}): "by",
    frozenset({"by-sa"}): "by-sa",
    frozenset({"by-nc"}): "by-nc",
    frozenset({"by-nc-sa"}): "by-nc-sa",
    frozenset({"by", "by-sa"}): "by-sa",
    frozenset({"by", "by-nc"}): "by-nc",
    frozenset({"by", "by-nc-sa"}): "by-nc-sa",
    frozenset({"by-nc", "by-nc-sa"}): "by-nc-sa",
}


@dataclass(frozen=True)
class Licence:
    """`id` as the Hub knows it; `name` where that is "other"; `reason` why it is; `terms` to be said loudly."""

    id: str
    name: str = ""
    reason: str = ""
    terms: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def combine(given: Sequence[str]) -> Licence:
    """The licence of what is made from sources under the licences `given`; "" among them is a source without one."""
    known = [text.strip().lower() for text in given]
    named = tuple(dict.fromkeys(text for text in known if text))
    if not named:
        return Licence("other", UNKNOWN, "the licence of the source is not known", (), ())
    terms = _terms(named)
    if "" in known:
        return Licence(
            "other",
            _slug(f"{' and '.join(named)} and unknown"),
            "the licence of at least one source is not known",
            terms,
            named,
        )
    if any(_parts(text)[0].endswith("-nd") for text in named):
        return Licence(
            "other", _slug(" and ".join(named)), "a source may not be passed on in changed form", terms, named
        )
    if len(named) == 1:
        text = named[0]
        if text in LICENCES:
            return Licence(text, terms=terms, sources=named)
        return Licence("other", _slug(text) or UNKNOWN, "it is none of the licences that the Hub lists", terms, named)
    asking = [text for text in named if text not in FREE]
    if len(asking) <= 1:
        return replace(combine(asking or named[:1]), sources=named)
    joined = asking[0]
    for text in asking[1:]:
        joined = _join(joined, text)
    if joined:
        return Licence(joined, terms=_terms([joined]), sources=named)
    return Licence("other", _slug(" and ".join(named)), "no one licence satisfies all of the sources'", terms, named)


def _join(one: str, other: str) -> str:
    """The licence that satisfies both, or ""."""
    (first, first_version), (second, second_version) = _parts(one), _parts(other)
    joined = _JOINS.get(frozenset({first, second}), "") if first and second else ""
    text = f"cc-{joined}-{max(first_version, second_version)}"
    return text if joined and text in LICENCES else ""


def _parts(text: str) -> tuple[str, str]:
    """(terms, version) of a Creative Commons licence, else two empty texts."""
    found = _CC.fullmatch(text)
    return (found[1], found[2]) if found else ("", "")


def _terms(named: Sequence[str]) -> tuple[str, ...]:
    """What must be said loudly."""
    found = []
    kinds = [set(_parts(text)[0].split("-")) for text in named]
    if any("nc" in kind for kind in kinds):
        found.append("Non-commercial: the source may not be used, and what was made from it neither, for commerce.")
    if any("sa" in kind for kind in kinds) or SHARE_ALIKE & set(named):
        found.append("Share-alike: whoever passes this dataset or a version of it on does so under the same licence.")
    if any("nd" in kind for kind in kinds):
        found.append("No derivatives: the source may not be passed on in changed form. This dataset is such a form.")
    return tuple(found)


def _slug(text: str) -> str:
    """A licence's name in the form that the Hub asks for: lower-case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:80]
