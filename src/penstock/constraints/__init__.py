"""What an answer must match, as a grammar that every engine reads.

JSON schemas and regular expressions are turned into one EBNF here (the part that xgrammar's and llama.cpp's
dialects share), and not by each engine's own converter. So a constraint means the same everywhere, and what cannot
be held to is refused by name: the converters of engines pass over keywords they do not know, let a `pattern` put
quotes into a JSON string, and let a small model write blank lines between the fields until its tokens are used up.
"""

from __future__ import annotations

import hashlib

from penstock.constraints.json_schema import json_schema_grammar
from penstock.constraints.regex import regex_grammar
from penstock.exchange import Constraint

__all__ = ["digest", "grammar", "json_schema_grammar", "regex_grammar"]


def digest(constraint: Constraint) -> str:
    """A key for what is known about a constraint: equal constraints, equal digest."""
    return hashlib.sha256(f"{constraint.kind}\0{constraint.source}".encode("utf-8", "surrogatepass")).hexdigest()


def grammar(constraint: Constraint) -> str:
    """The constraint as EBNF with the rule `root`. Raises `InvalidConstraint`."""
    if constraint.kind == "ebnf":
        return constraint.source
    if constraint.kind == "regex":
        return regex_grammar(constraint.source)
    return json_schema_grammar(constraint.source)
