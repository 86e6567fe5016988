"""Texts with structure, for properties that hold for whatever is cut."""

import unicodedata

from hypothesis import strategies as st

from penstock.knowledge.chunking import Block, BlockKind

WORDS = st.sampled_from(
    [
        "harbour",
        "ship",
        "the",
        "e.g.",
        "12.5",
        "Größe.",
        "漢字。",
        "a" * 90,
        "été!",
        "👩‍🚀",
        "नाव",
        "x\u0301",
        "🇩🇪",
        "각",
    ]
)
GAPS = st.sampled_from([" ", "\n", "\n\n", "\t", "\u00a0", "  \n \n", ". ", "\n    "])
PROSE = st.lists(st.tuples(WORDS, GAPS), max_size=120).map(lambda pairs: "".join(word + gap for word, gap in pairs))
TEXTS = st.one_of(PROSE, st.text(max_size=300))
KINDS: list[BlockKind] = ["heading", "paragraph", "code", "table"]


@st.composite
def structured(draw: st.DrawFn) -> tuple[str, list[Block]]:
    """A text with blocks in order that do not overlap or cut words, and gaps between them."""
    text = draw(TEXTS)
    between = [at for at in range(len(text) + 1) if not text[at - 1 : at].strip() or not text[at : at + 1].strip()]
    cuts = sorted(draw(st.lists(st.sampled_from(between), max_size=12)))
    blocks = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        kind = draw(st.sampled_from(KINDS))
        blocks.append(Block(kind, start, end, draw(st.integers(1, 6)) if kind == "heading" else 0))
    return text, blocks


def splits_character(text: str, at: int) -> bool:
    """Whether a cut takes a mark, a joiner, a skin tone or half a flag from what it belongs to."""
    if not 0 < at < len(text):
        return False
    before, here = text[at - 1], text[at]
    flags = len(text[:at]) - len(text[:at].rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))
    return (
        unicodedata.category(here) in ("Mn", "Mc", "Me")
        or "\u200d" in (before, here)
        or "\U0001f3fb" <= here <= "\U0001f3ff"
        or ("\U0001f1e6" <= here <= "\U0001f1ff" and flags % 2 == 1)
        or ("\u1100" <= here <= "\u11ff" and "\u1100" <= before <= "\u11ff")
    )
