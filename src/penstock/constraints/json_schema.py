"""JSON schemas as EBNF.

Every answer that the grammar lets through validates against the schema (drafts 6 to 2020-12). Not the other way
round: objects have their properties in the schema's order and, unless they have none, no others; between the tokens
there is at most one space. A keyword that is not held to is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.constraints.ebnf import character_class, literal, repeated
from penstock.constraints.numeric import integer_between, number_between
from penstock.constraints.regex import PLAIN_IN_JSON, regex_in_json
from penstock.errors import InvalidConstraint

MOST_CHARACTERS = 65_536
MOST_RULES = 2_000
DEPTH = 60
CHUNK = 16

Schema = Mapping[str, Any]
Trail = tuple[str, ...]
"""The references entered since the last character: one that comes again would never end."""

DESCRIPTIVE = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
ANNOTATIONS = frozenset((*DESCRIPTIVE, "$schema", "$id", "$comment", "$defs", "definitions"))
BY_TYPE = {
    "object": frozenset(("properties", "required", "additionalProperties", "minProperties", "maxProperties")),
    "array": frozenset(("items", "prefixItems", "minItems", "maxItems")),
    "string": frozenset(("minLength", "maxLength", "pattern", "format")),
    "integer": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    "number": frozenset(("minimum", "maximum")),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
LABEL = "[A-Za-z0-9]+(-[A-Za-z0-9]+)*"
DAY = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9])"
"""29 February of every year is let through."""
FORMATS = {
    "date": rf"^[0-9]{{4}}-({DAY})$",
    "time": r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
    "uuid": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "email": rf"^[A-Za-z0-9_%+-]+(\.[A-Za-z0-9_%+-]+)*@{LABEL}(\.{LABEL})+$",
    "ipv4": r"^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$",
    "uri": r"^[a-z][a-z0-9+.-]*://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+$",
}
FORMATS["date-time"] = f"^{FORMATS['date'][1:-1]}T{FORMATS['time'][1:-1]}$"

BASIC = {
    "string": '"\\u0022" char* "\\u0022"',
    "char": f'{character_class(PLAIN_IN_JSON)} | "\\u005c" [\\u0022\\u005c/bfnrt]',
    "integer": '"\\u002d"? ("0" | [1-9] [0-9]{0,15})',
    "number": 'integer ("." [0-9]{1,15})? ([eE] [\\u002d\\u002b]? [0-9] [0-9]?)?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "value": "string | number | boolean | null | anyobject | anyarray",
    "anyobject": '"{" (anypair (comma anypair)*)? "}"',
    "anypair": "string colon value",
    "anyarray": '"\\u005b" (value (comma value)*)? "\\u005d"',
    "comma": '"," " "?',
    "colon": '":" " "?',
}


def json_schema_grammar(source: str) -> str:
    """A JSON schema (a JSON text) as EBNF with the rule `root`. Raises `InvalidConstraint`."""
    if len(source) > MOST_CHARACTERS:
        raise InvalidConstraint(
            f"the JSON schema has {len(source)} characters; at most {MOST_CHARACTERS} are allowed.",
            hint="Send a smaller schema.",
        )
    try:
        schema = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise InvalidConstraint(f"the JSON schema is not JSON: {error}.", hint="Send a JSON object.") from error
    return _Converter(schema).convert()


class _Converter:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._rules = dict(BASIC)
        self._references: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def convert(self) -> str:
        self._rules["root"] = self._element(self._root, "#", ())
        return "".join(f"{name} ::= {body}\n" for name, body in self._rules.items())

    def _element(self, schema: Any, path: str, trail: Trail) -> str:
        """The EBNF of a schema: one element, or alternatives in parentheses."""
        if path.count("/") > DEPTH:
            raise refused(path, "is nested too deeply", "Use $ref for what repeats.")
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, dict):
            raise refused(path, f"is {json.dumps(schema)[:40]}, not a schema", "Send an object.")
        for keyword, build in (
            ("$ref", self._reference),
            ("const", self._constant),
            ("enum", self._enumeration),
            ("anyOf", self._any_of),
            ("oneOf", self._one_of),
            ("allOf", self._all_of),
        ):
            if keyword in schema:
                beside = {"type"} if keyword in ("const", "enum") else set()
                self._only(schema, {keyword} | beside, path, f"beside {keyword}")
                return build(schema, path, trail)
        return self._typed(schema, path)

    def _typed(self, schema: Schema, path: str) -> str:
        types = schema.get("type", implied_types(schema))
        types = [types] if isinstance(types, str) else types
        if not isinstance(types, list) or not types or not all(kind in BY_TYPE for kind in types):
            raise refused(path, f"has the type {json.dumps(types)}", f"The types are {', '.join(BY_TYPE)}.")
        allowed = frozenset[str]().union(*(BY_TYPE[kind] for kind in types))
        self._only(schema, allowed | {"type"}, path, f"for type {' or '.join(types)}")
        build = {"object": self._object, "array": self._array, "string": self._string}
        numeric = {"integer": integer_between, "number": number_between}
        bodies = []
        for kind in types:
            if kind in build:
                bodies.append(build[kind](schema, path))
            elif kind in numeric and BY_TYPE[kind] & schema.keys():
                bodies.append(numeric[kind](schema, path))
            else:
                bodies.append(kind)
        return one_of(bodies)

    def _only(self, schema: Schema, allowed: frozenset[str] | set[str], path: str, where: str) -> None:
        for keyword in schema:
            if keyword not in allowed and keyword not in ANNOTATIONS and not keyword.startswith("x-"):
                raise refused(
                    path,
                    f"has the keyword '{keyword}', which is not supported {where} and would be ignored",
                    f"Leave it out, or use: {', '.join(sorted(allowed))}.",
                )

    def _reference(self, schema: Schema, path: str, trail: Trail) -> str:
        reference = schema["$ref"]
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise refused(path, f"refers to {reference!r}", "Only references inside it (#/$defs/…) work.")
        if reference in trail or (reference == "#" and path == "#"):
            raise refused(
                path, f"refers to itself by '{reference}' with nothing in between", "Add a layer between."
            )
        if reference == "#":
            return "root"
        if reference not in self._references:
            name = self._references[reference] = f"ref{len(self._references)}"
            self._define(name, self._element(self._resolve(reference, path), reference, (*trail, reference)))
        return self._references[reference]

    def _resolve(self, reference: str, path: str) -> Any:
        current = self._root
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            try:
                current = current[int(key)] if isinstance(current, list) else current[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise refused(path, f"refers to '{reference}', which is not there", "Correct the $ref.") from None
        return current

    def _constant(self, schema: Schema, path: str, trail: Trail) -> str:
        return literal(json.dumps(schema["const"], ensure_ascii=False))

    def _enumeration(self, schema: Schema, path: str, trail: Trail) -> str:
        values = schema["enum"]
        if not isinstance(values, list) or not values:
            raise refused(path, "has an enum without values", "List the values.")
        return one_of([literal(json.dumps(value, ensure_ascii=False)) for value in values])

    def _any_of(self, schema: Schema, path: str, trail: Trail) -> str:
        return self._alternatives(schema, "anyOf", path, trail)

    def _one_of(self, schema: Schema, path: str, trail: Trail) -> str:
        branches = schema["oneOf"]
        if isinstance(branches, list) and not self._exclusive(branches, path):
            raise refused(
                path,
                "has the keyword 'oneOf' with schemas that may both match, which would be ignored",
                "Use anyOf, or give each schema its own type or const.",
            )
        return self._alternatives(schema, "oneOf", path, trail)

    def _exclusive(self, branches: Sequence[Any], path: str) -> bool:
        """Whether no value can match two of the schemas: other types, or another const in a required property."""
        schemas = []
        for branch in branches:
            if isinstance(branch, dict) and isinstance(branch.get("$ref"), str) and branch["$ref"].startswith("#/"):
                branch = self._resolve(branch["$ref"], path)
            if not isinstance(branch, dict):
                return False
            schemas.append(branch)
        types = [schema.get("type") for schema in schemas]
        if all(isinstance(kind, str) for kind in types) and len(set(types)) == len(types):
            return not {"integer", "number"} <= set(types)
        marks = [constants(schema) for schema in schemas]
        shared = set.intersection(*(set(mark) for mark in marks)) if marks else set()
        return any(len({mark[name] for mark in marks}) == len(marks) for name in shared)

    def _alternatives(self, schema: Schema, keyword: str, path: str, trail: Trail) -> str:
        branches = schema[keyword]
        if not isinstance(branches, list) or not branches:
            raise refused(path, f"has {keyword} without schemas", "List them.")
        return one_of(
            [self._element(branch, f"{path}/{keyword}/{at}", trail) for at, branch in enumerate(branches)]
        )

    def _all_of(self, schema: Schema, path: str, trail: Trail) -> str:
        branches = schema["allOf"]
        if not isinstance(branches, list) or len(branches) != 1:
            raise refused(path, "has the keyword 'allOf' with several schemas", "Merge them into one.")
        return self._element(branches[0], f"{path}/allOf/0", trail)

    def _object(self, schema: Schema, path: str) -> str:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        extra = schema.get("additionalProperties", True)
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise refused(path, "has properties or required of a wrong type", "properties is an object.")
        missing = [name for name in required if name not in properties]
        if missing:
            raise refused(path, f"requires '{missing[0]}', which is not in properties", "Describe it there.")
        if not properties:
            return self._map(schema, extra, path)
        for keyword in ("minProperties", "maxProperties"):
            if keyword in schema:
                raise refused(path, f"has the keyword '{keyword}' beside properties", "Use required.")
        if not isinstance(extra, bool):
            raise refused(
                path, "has a schema for 'additionalProperties' beside properties", "Choose one of the two."
            )
        return self._fixed_object(properties, frozenset(required), path)

    def _map(self, schema: Schema, extra: Any, path: str) -> str:
        least, most = bounds(schema, "minProperties", "maxProperties", path)
        if extra is False:
            return '"{}"'
        pair = self._named(f"string colon {self._element(extra, f'{path}/additionalProperties', ())}")
        return f'"{{" {self._listed(pair, least, most)} "}}"' if (most is None or most > 0) else '"{}"'

    def _fixed_object(self, properties: Schema, required: frozenset[str], path: str) -> str:
        """A chain of rules, one for each property and whether one came before it."""
        name = f"object{len(self._rules)}"
        self._define(name, "")
        pairs = [
            f"{literal(json.dumps(key, ensure_ascii=False))} colon "
            + self._named(self._element(value, f"{path}/properties/{at}", ()))
            for at, (key, value) in enumerate(properties.items())
        ]
        keys = list(properties)
        after: dict[bool, str] = {True: '""', False: '""'}
        for at in range(len(keys) - 1, -1, -1):
            rules = {}
            for first in (True, False) if at else (True,):
                here = f"{'' if first else 'comma '}{pairs[at]} {after[False]}"
                body = here if keys[at] in required else f"({here}) | {after[first]}"
                rules[first] = f"{name}x{at}{'a' if first else 'b'}"
                self._define(rules[first], body)
            after = rules
        self._rules[name] = f'"{{" {after[True]} "}}"'
        return name

    def _array(self, schema: Schema, path: str) -> str:
        least, most = bounds(schema, "minItems", "maxItems", path)
        prefix = schema.get("prefixItems", [])
        rest = schema.get("items", True)
        if not isinstance(prefix, list) or isinstance(rest, list):
            raise refused(path, "has 'items' as a list", "Use prefixItems for items by position.")
        fixed = [self._element(item, f"{path}/prefixItems/{at}", ()) for at, item in enumerate(prefix)]
        if fixed:
            if rest is not False or (least > len(fixed)) or (most is not None and most < len(fixed)):
                raise refused(path, "has prefixItems without items: false", "Close it with items: false.")
            return f'"\\u005b" {" comma ".join(fixed)} "\\u005d"'
        if rest is False or most == 0:
            return '"\\u005b\\u005d"'
        item = self._named(self._element(rest, f"{path}/items", ()))
        return f'"\\u005b" {self._listed(item, least, most)} "\\u005d"'

    def _string(self, schema: Schema, path: str) -> str:
        given = [keyword for keyword in ("pattern", "format") if keyword in schema]
        lengths = [keyword for keyword in ("minLength", "maxLength") if keyword in schema]
        if len(given) > 1 or (given and lengths):
            raise refused(path, f"has {' and '.join(given + lengths)} together", "Use one of them.")
        if lengths:
            least, most = bounds(schema, "minLength", "maxLength", path)
            return f'("\\u0022" {self._many("char", least, most)} "\\u0022")'
        if not given:
            return "string"
        pattern = schema[given[0]]
        if given == ["format"]:
            if pattern not in FORMATS:
                raise refused(path, f"has the format {pattern!r}", f"The formats are {', '.join(sorted(FORMATS))}.")
            pattern = FORMATS[pattern]
        elif not isinstance(pattern, str):
            raise refused(path, "has a pattern that is not a string", "Send a regular expression.")
        return f'("\\u0022" {regex_in_json(pattern)} "\\u0022")'

    def _listed(self, item: str, least: int, most: int | None) -> str:
        """`item`s with commas between them; `most` is not 0."""
        more = self._many(self._named(f"comma {item}"), max(0, least - 1), None if most is None else most - 1)
        return f"{item} {more}" if least else f"({item} {more})?"

    def _many(self, rule: str, least: int, most: int | None) -> str:
        """From `least` to `most` of a rule. Large counts are made of sixteens: xgrammar looks at the whole
        vocabulary for each place in a repetition, and a flat {0,1000} takes it minutes."""
        if least >= 2 * CHUNK:
            chunks = least // CHUNK
            rest = None if most is None else most - chunks * CHUNK
            chunk = self._named(repeated(rule, CHUNK, CHUNK))
            return f"{repeated(chunk, chunks, chunks)} {self._many(rule, least % CHUNK, rest)}"
        if most is None or most < 2 * CHUNK:
            return repeated(rule, least, most) if most != 0 else '""'
        if least:
            return f"{repeated(rule, least, least)} {self._many(rule, 0, most - least)}"
        chunks = most // CHUNK - 1
        chunk = self._named(repeated(rule, CHUNK, CHUNK))
        return f"{repeated(chunk, 0, chunks)} {repeated(rule, 0, most - chunks * CHUNK)}"

    def _named(self, body: str) -> str:
        """A rule for what is written twice, so that nesting does not double the grammar at each level."""
        if body in self._rules:
            return body
        if body in self._names:
            return self._names[body]
        name = self._names[body] = f"part{len(self._rules)}"
        self._define(name, body)
        return name

    def _define(self, name: str, body: str) -> None:
        if len(self._rules) >= MOST_RULES:
            raise InvalidConstraint(
                f"the JSON schema needs more than {MOST_RULES} grammar rules.", hint="Send a smaller schema."
            )
        self._rules[name] = body


def implied_types(schema: Schema) -> list[str]:
    """The types that a schema without `type` is about; all of them where no keyword tells."""
    return [kind for kind in ("object", "array") if BY_TYPE[kind] & schema.keys()] or [
        kind for kind in BY_TYPE if kind != "integer"
    ]


def constants(schema: Schema) -> dict[str, str]:
    """The required properties that have one possible value, as JSON."""
    properties = schema.get("properties")
    required = schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return {}
    return {
        name: json.dumps(value["const"], sort_keys=True)
        for name, value in properties.items()
        if name in required and isinstance(value, dict) and "const" in value
    }


def bounds(schema: Schema, least: str, most: str, path: str) -> tuple[int, int | None]:
    low, high = schema.get(least, 0), schema.get(most)
    for name, value in ((least, low), (most, high)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise refused(path, f"has {name} {json.dumps(value)}", "Send a whole number that is not negative.")
    if high is not None and low > high:
        raise refused(path, f"has {least} {low} over {most} {high}", "Swap them.")
    return low, high


def one_of(bodies: Sequence[str]) -> str:
    return bodies[0] if len(bodies) == 1 else "(" + " | ".join(bodies) + ")"


def refused(path: str, what: str, hint: str) -> InvalidConstraint:
    return InvalidConstraint(f"the JSON schema at {path} {what}.", hint=hint, param="response_format")
