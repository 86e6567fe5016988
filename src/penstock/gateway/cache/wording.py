"""Words that tell two questions apart however near their vectors are.

"Returns in 2023" and "returns in 2024", "with" and "without", "my name" and "your name", "from euros to dollars"
and back: an embedder puts them side by side. So two questions count as the same only if they have the same content
words (a few synonyms count as one), agree in numbers, negations and opposites, and turn nothing around. What is
left to differ is how it is put: order, politeness, filler words.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from itertools import pairwise

from msgspec import Struct

from penstock.knowledge.terms import STOP_WORDS, stem, words


def listed(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


NUMBER_WORDS = (
    *("zero", "one first", "two second twice", "three third", "four fourth", "five fifth", "six sixth"),
    *("seven seventh", "eight eighth", "nine ninth", "ten tenth", "eleven eleventh", "twelve twelfth dozen"),
)
NUMBERS = {word: str(value) for value, line in enumerate(NUMBER_WORDS) for word in line.split()} | {
    "hundred": "100",
    "thousand": "1000",
    "million": "1000000",
    "half": "0.5",
}
ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
NEGATED = re.compile(r"n['’]t\b|\b(?:do|ca|wo|is|are|does|did|could|would|should|has|have|was|were)nt\b", re.I)
NEGATIONS = listed("no not never none nobody nothing nowhere neither nor without except cannot unless")

TELLING = listed(
    "before after until since during from between versus vs than or other else instead rather",
    "on off up down out above below over under inside outside",
    "more most less least fewer min minimum max maximum highest lowest high low",
    "last next previous prior latest current past future yesterday today tomorrow tonight now",
    "who whose whom when where why many much must",
    "morning afternoon evening night daily weekly monthly yearly annual",
    "all any every both only each another again same",
    "he she him her his they them their",
)
"""Words that both questions must have or neither, although some of them are stop words."""

DIRECTIONS = listed("from to into than before after between versus vs over under for with instead by against")
PLACES = listed("me us you him her them here there it this that may march")
OWNERS = {"my": "i", "mine": "i", "our": "i", "ours": "i", "your": "you", "yours": "you"}
PERSONS = OWNERS | {"i": "i", "we": "i", "you": "you"}
OBJECTS = listed("me us you him her them")
OTHER = {"i": "you", "you": "i"}

FILLERS = listed(
    "please kindly thanks thank hi hello hey ok okay sorry well just really actually maybe help helping assist",
    "want wanted wants wanting need needed needs needing require wish love looking look find show see check give",
    "get getting got let lets know learn hear tell say said ask asking wonder wondering question answer",
    "info information inform details able possible would could can might going gonna wanna gotta go ahead thing",
    "things way exactly seem seems appear appears feel like do does possibly somehow quickly",
)
SYNONYMS = {
    stem(word): stem(line.split()[0])
    for line in (
        "buy purchase",
        "begin start commence",
        "car vehicle automobile",
        "phone cellphone smartphone telephone",
        "price cost charge fee",
        "wrong incorrect",
        "fix repair",
        "large big huge",
        "small little tiny",
        "money cash funds",
        "movie film",
        "photo picture image",
        "doctor physician",
        "change alter modify",
        "delete remove erase",
        "error mistake",
        "job work employment",
        "meaning mean definition define",
        "nearest closest",
        "song track tune",
        "kind type sort",
    )
    for word in line.split()
}


class Wording(Struct, frozen=True):
    """What a question says, in comparable pieces.

    `fixed` are its numbers, negations and telling words, `content` its content words, both sorted. `order` are the
    numbers and content words as they come, which counts where the question is `directed`. `owners` says whose
    things it is about, `persons` who does or has what, `objects` to whom it is done, as pairs.
    """

    fixed: tuple[str, ...]
    content: tuple[str, ...]
    order: tuple[str, ...]
    directed: bool
    owners: frozenset[str]
    persons: frozenset[tuple[str, str]]
    objects: frozenset[tuple[str, str]]


@lru_cache(maxsize=4096)
def wording(text: str) -> Wording:
    fixed: list[str] = []
    content: list[str] = []
    order: list[str] = []
    plain = [word.partition("'")[0] for word in words(NEGATED.sub(" not ", text))]
    for before, word in pairwise(["", *plain]):
        if word in PLACES and before in ("from", "to", "between"):
            order.append(word)
        if (ordinal := ORDINAL.fullmatch(word)) is not None:
            word = ordinal[1]
        word = NUMBERS.get(word, word)
        if word[0].isdigit():
            fixed.append(word)
            order.append(word)
        elif word in NEGATIONS:
            fixed.append("not")
        elif word in TELLING:
            fixed.append(word)
        elif is_content(word):
            root = stem(word)
            content.append(SYNONYMS.get(root, root))
            order.append(content[-1])
    return Wording(
        tuple(sorted(fixed)),
        tuple(sorted(content)),
        tuple(order),
        not DIRECTIONS.isdisjoint(plain),
        frozenset(OWNERS[word] for word in plain if word in OWNERS),
        frozenset((PERSONS[who], stem(what)) for who, what in pairwise(plain) if who in PERSONS),
        frozenset((stem(does), whom) for does, whom in pairwise(plain) if whom in OBJECTS and is_content(does)),
    )


def is_content(word: str) -> bool:
    return word not in STOP_WORDS and word not in FILLERS


def may_mean_the_same(one: str, other: str) -> bool:
    """Whether nothing in the words of two questions says that they ask for different things."""
    a, b = wording(one), wording(other)
    if (a.fixed, a.content, a.objects) != (b.fixed, b.content, b.objects):
        return False
    if (a.directed or b.directed) and a.order != b.order:
        return False
    if a.owners and b.owners and a.owners.isdisjoint(b.owners):
        return False
    return not any((OTHER[who], what) in b.persons for who, what in a.persons)


def signature(text: str) -> bytes:
    """The same for two questions that agree in all words that must be the same."""
    said = wording(text)
    return hashlib.blake2b("\n".join([*said.fixed, "", *said.content]).encode(), digest_size=16).digest()
