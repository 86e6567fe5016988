"""What a question and a sentence say, as comparable terms.

Deliberately small: lower case without accents, English endings taken off lightly, pairs of characters for
scripts that are written without spaces. Numbers and names are kept apart, because an answer that changes one
is wrong however similar it reads.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?\d*|\w")
PLAIN_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?[0-9]*|[0-9]+(?:[.,:][0-9]+)*|_")
"""The same in plain text that is folded, where it takes a third of the time."""

UNSPACED = re.compile(r"[\u0e00-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
SUFFIXES = (
    ("ational", "at"), ("fulness", "ful"), ("ousness", "ous"), ("iveness", "ive"), ("ization", "iz"),
    ("ements", ""), ("ations", "at"), ("ments", ""), ("ation", "at"), ("ities", ""), ("ement", ""),
    ("ings", ""), ("ment", ""), ("ions", ""), ("ized", "iz"), ("izes", "iz"), ("ised", "iz"), ("ise", "iz"),
    ("ize", "iz"), ("ies", "y"), ("ied", "y"), ("ity", ""), ("ing", ""), ("ion", ""), ("ers", ""), ("ors", ""),
    ("ant", ""), ("ent", ""), ("ful", ""), ("est", ""), ("al", ""), ("ic", ""), ("ly", ""), ("ed", ""),
    ("es", ""), ("er", ""), ("or", ""), ("s", ""), ("e", ""),
)  # fmt: skip
SHORTEST_STEM = 4

STOP_WORDS = frozenset(
    word
    for line in (
        "a about above after again against all also although am an and another any are aren as at be because",
        "been before being below between both but by can cannot could did do does doing don down during each",
        "either few for from further give had has have having he her here hers herself him himself his how",
        "however i if in into is isn it its itself just let like may me might mine more most much must my",
        "myself name neither no nor not now of off often on once one only or other our ours ourselves out",
        "over own per please rather s same shall she should since so some such t tell than that the their",
        "theirs them themselves then there these they this those though through to too type under until up",
        "upon us used using very was wasn we were what when where whether which while who whom whose why will",
        "with within without would yes yet you your yours yourself kind many called sort know explain",
        "describe",
    )
    for word in line.split()
)


def fold(text: str) -> str:
    """Lower case, compatibility forms unified, accents off."""
    if text.isascii():
        return text.lower()
    return BEYOND_ASCII.sub(without_accents, unicodedata.normalize("NFKD", text.casefold()))


def without_accents(found: re.Match[str]) -> str:
    return "".join(char for char in found.group() if not unicodedata.combining(char))


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """An English word without its common endings; other words usually come back as they are."""
    if word.isdigit() or not word.isascii():
        return word
    word = word.removesuffix("'s")
    for suffix, replacement in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= SHORTEST_STEM - len(replacement):
            root = word[: len(word) - len(suffix)] + replacement
            return root[:-1] if len(root) > SHORTEST_STEM - 1 and root[-1] == root[-2] else root
    return word


def beginning(stem: str) -> str:
    """What every word of a stem begins with: a stem may end otherwise than its words ("organis", "ties")."""
    return stem[:-1] if stem.endswith(("y", "iz")) else stem


def words(text: str) -> list[str]:
    """Every word of a text, folded, in order; runs of unspaced scripts as overlapping pairs of characters."""
    folded = fold(text).replace("’", "'")
    if folded.isascii():
        return [word.replace(",", "") if "," in word else word for word in PLAIN_WORD.findall(folded)]
    found: list[str] = []
    for match in WORD.finditer(folded):
        word = match.group()
        if UNSPACED.fullmatch(word) and len(word) > 1:
            found.extend(word[at : at + 2] for at in range(len(word) - 1))
        else:
            found.append(word.replace(",", "") if word[0].isdigit() else word)
    return found


def terms(text: str) -> list[str]:
    """The content words of a text as stems, in order, with repeats."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]
