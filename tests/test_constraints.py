"""Constraints as grammars: whatever the grammar lets through matches, and what it cannot hold to is refused."""

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ebnf_reader import Grammar

from penstock import constraints
from penstock.constraints import json_schema_grammar, regex_grammar
from penstock.errors import InvalidConstraint
from penstock.exchange import Constraint

EXPRESSIONS = [
    r"",
    r"abc",
    r"\d{4}-\d{2}-\d{2}",
    r"^(yes|no)$",
    r"[a-fA-F0-9]{8}",
    r"[^\n\"\\]+",
    r"(?:a|b|)c*?d+e?",
    r"\w+@\w+\.(com|org)",
    r".{0,5}",
    r"[\d\-x]{2,3}",
    r"\x41\u00e9\t",
    r"(ab(cd)?){2,}",
    r"[^a]",
    r"\D\W\S",
    r"(?P<name>🤖|日本)",
    r"a\|b\.\*\[\]\{\}\(\)\"\\",
]


@pytest.mark.parametrize("source", EXPRESSIONS)
def test_what_an_expression_s_grammar_writes_matches_it(source: str) -> None:
    grammar = Grammar(regex_grammar(source))
    for seed in range(200):
        text = grammar.write(random.Random(seed))
        assert re.fullmatch(source, text, re.ASCII), text


@pytest.mark.parametrize("source", EXPRESSIONS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_grammar_takes_what_the_expression_matches(source: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(re.compile(source, re.ASCII), fullmatch=True))
    if "\0" not in text and text.isprintable():
        assert Grammar(regex_grammar(source)).accepts(text)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(a", "does not compile: missing \\)"),
        ("a{3,1}", "does not compile"),
        ("[z-a]", "does not compile: bad character range"),
        ("*a", "does not compile: nothing to repeat"),
        (r"(a)\1", "a back-reference"),
        ("(?=a)b", "look-ahead"),
        ("(?<!a)b", "look-behind"),
        (r"a\bb", "word boundary inside"),
        ("a$b", "an anchor"),
        ("(?i)a", "a flag"),
        ("(?i:a)", "a flag"),
        ("(?>a)", "an atomic group"),
        ("a++", "a possessive quantifier"),
        ("(a)(?(1)b|c)", "a conditional group"),
        (r"[^\s\S]", "no character is in"),
        ("(((a{1,50}){1,50}){1,50}){1,50}", "more than 20000 elements"),
        ("a" * 9000, "has 9000 characters"),
        ("(" * 2000 + ")" * 2000, "does not compile"),
    ],
)
def test_an_expression_that_cannot_be_held_to_is_refused(source: str, message: str) -> None:
    with pytest.raises(InvalidConstraint, match=message):
        regex_grammar(source)


NODE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
INTEGER = {"type": "integer", "minimum": -12, "maximum": 1034}
NUMBER = {"type": "number", "minimum": -2, "maximum": 20}
PERSON = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, 'c"': {"type": "null"}},
    "required": ["b"],
}
SCHEMAS: list[Any] = [
    True,
    {},
    {"type": "object"},
    {"type": "array"},
    {"type": ["string", "null"], "description": "a note"},
    {"const": 'a "quoted"\n\u00e9🤖'},
    {"type": "string", "enum": ["a", "b"]},
    {"enum": [1, None, {"a": [True]}]},
    {"type": "string", "minLength": 2, "maxLength": 4},
    {"type": "string", "minLength": 40, "maxLength": 1000},
    {"type": "string", "maxLength": 0},
    {"type": "array", "items": {"type": "null"}, "minItems": 33},
    {"type": "string", "pattern": "^a+b$"},
    {"type": "string", "pattern": '["\\\\]x.y'},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "email"},
    INTEGER,
    {"type": "integer", "exclusiveMinimum": 7},
    {"type": "integer", "maximum": -3},
    NUMBER,
    {"type": "number", "maximum": -5},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    {"type": "array", "prefixItems": [{"type": "null"}, {"type": "integer"}], "items": False},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2},
    PERSON,
    {"properties": {"a": {"properties": {"b": {"items": {"items": {"type": "null"}}}}}}, "required": ["a"]},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {
        "oneOf": [
            {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in ("x", "y")
        ]
    },
    {"allOf": [{"type": "boolean"}]},
    NODE,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:50])
def test_what_a_schema_s_grammar_writes_is_valid(schema: Any) -> None:
    grammar = Grammar(json_schema_grammar(json.dumps(schema)))
    for seed in range(200):
        value = json.loads(grammar.write(random.Random(seed)))
        assert valid(value, schema, schema), value


@given(st.integers(0, 70), st.integers(0, 70), st.integers(0, 150))
@settings(deadline=None)
def test_lengths_are_let_through_within_their_bounds_only(least: int, more: int, length: int) -> None:
    schema = {"type": "string", "minLength": least, "maxLength": least + more}
    grammar = Grammar(json_schema_grammar(json.dumps(schema)))
    assert grammar.accepts(json.dumps("x" * length)) == (least <= length <= least + more)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, '{"a": [1, -2.5e3, "\\n", true, null, {}]}'),
        (PERSON, '{"b":"x"}'),
        (PERSON, '{"a": 1, "b": "x", "c\\"": null}'),
        (NODE, '{"value": 1, "next": {"value": 2, "next": null}}'),
        (INTEGER, "-12"),
        (INTEGER, "0"),
        (INTEGER, "1034"),
        ({"type": "integer", "exclusiveMinimum": 7}, "8"),
        ({"type": "integer", "exclusiveMinimum": 7}, "123456789"),
        (NUMBER, "19.99"),
        (NUMBER, "-2.0"),
        ({"type": "string", "pattern": "b"}, '"abc"'),
    ],
)
def test_usual_answers_are_let_through(schema: Any, text: str) -> None:
    assert Grammar(json_schema_grammar(json.dumps(schema))).accepts(text)


@settings(deadline=None)
@given(st.integers(-3000, 3000), st.integers(0, 3000), st.integers(-7000, 7000))
def test_integers_are_let_through_within_their_bounds_only(low: int, width: int, number: int) -> None:
    schema = {"type": "integer", "minimum": low, "maximum": low + width}
    assert Grammar(json_schema_grammar(json.dumps(schema))).accepts(str(number)) == (low <= number <= low + width)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "integer", "multipleOf": 2}, "'multipleOf', which is not supported for type integer"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems'"),
        ({"type": "object", "requried": []}, "'requried'"),
        ({"type": "object", "patternProperties": {}}, "'patternProperties'"),
        ({"type": "string", "minimum": 1}, "'minimum', which is not supported for type string"),
        ({"type": "number", "exclusiveMinimum": 1}, "'exclusiveMinimum'"),
        ({"not": {"type": "null"}}, "'not'"),
        ({"type": "object", "properties": {"a": {"if": {}}}}, "#/properties/0 has the keyword 'if'"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {}}, "maxLength": 3}, "'maxLength', which is not supported beside"),
        ({"anyOf": [{}], "type": "object"}, "'type', which is not supported beside anyOf"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "'oneOf' with schemas that may both match"),
        ({"allOf": [{}, {}]}, "'allOf' with several"),
        ({"type": "string", "pattern": "a", "maxLength": 3}, "pattern and maxLength together"),
        ({"type": "string", "format": "iban"}, "the format 'iban'"),
        ({"type": "string", "pattern": "(?=a)"}, "look-ahead"),
        ({"type": "string", "maxLength": -1}, "maxLength -1"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "minItems 3 over maxItems 2"),
        ({"type": "integer", "minimum": 0.5}, "minimum 0.5"),
        ({"type": "number", "minimum": 3, "maximum": 2}, "at least 3 and at most 2"),
        ({"type": "object", "required": ["a"]}, "requires 'a', which is not in properties"),
        ({"$ref": "#/$defs/a"}, "'#/\\$defs/a', which is not there"),
        ({"$ref": "http://example.com/a"}, "inside it"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "refers to itself"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}, "refers to itself"),
        ({"enum": []}, "enum without values"),
        ({"type": []}, "has the type \\[\\]"),
        ([], "not a schema"),
        (False, "not a schema"),
    ],
)
def test_a_keyword_that_would_be_ignored_is_refused_by_name(schema: Any, message: str) -> None:
    with pytest.raises(InvalidConstraint, match=message):
        json_schema_grammar(json.dumps(schema))


@pytest.mark.parametrize("source", ["", "{", '{"minimum": Infinity, "type": "integer"}', "[" * 100_000])
def test_what_is_not_json_is_refused(source: str) -> None:
    with pytest.raises(InvalidConstraint):
        json_schema_grammar(source)


def test_nesting_does_not_double_the_grammar() -> None:
    schema: Any = {"type": "null"}
    for _ in range(50):
        schema = {"type": "array", "items": schema}
    assert len(json_schema_grammar(json.dumps(schema))) < 20_000
    with pytest.raises(InvalidConstraint, match="nested too deeply"):
        json_schema_grammar(json.dumps({"items": {"items": schema}}) if deepen(schema, 20) is None else "{}")


def deepen(schema: Any, times: int) -> None:
    """Puts more layers inside the innermost array of `schema`."""
    while schema["items"] != {"type": "null"}:
        schema = schema["items"]
    for _ in range(times):
        schema["items"] = {"type": "array", "items": {"type": "null"}}
        schema = schema["items"]


def test_equal_constraints_have_equal_digests() -> None:
    one = Constraint("regex", "a")
    assert constraints.digest(one) == constraints.digest(Constraint("regex", "a"))
    assert constraints.digest(one) != constraints.digest(Constraint("json_schema", "a"))
    assert constraints.grammar(one) == regex_grammar("a")


def valid(value: Any, schema: Any, root: Any) -> bool:
    """Whether a value is valid under the keywords that these tests use."""
    if schema is True:
        return True
    if "$ref" in schema:
        return valid(value, root["$defs"]["node"], root)
    for keyword in ("anyOf", "oneOf", "allOf"):
        if keyword in schema:
            hits = sum(valid(value, branch, root) for branch in schema[keyword])
            return hits == 1 if keyword == "oneOf" else hits >= 1
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    types = schema.get("type", type_of(value))
    if type_of(value) not in types and not (type_of(value) == "integer" and "number" in types):
        return False
    return all(check(value, schema, root) for check in (valid_number, valid_string, valid_array, valid_object))


def type_of(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


def valid_number(value: Any, schema: Any, root: Any) -> bool:
    if type_of(value) not in ("integer", "number"):
        return True
    low, high, above = (schema.get(name) for name in ("minimum", "maximum", "exclusiveMinimum"))
    return (low is None or value >= low) and (high is None or value <= high) and (above is None or value > above)


def valid_string(value: Any, schema: Any, root: Any) -> bool:
    if not isinstance(value, str):
        return True
    return (
        schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 30)
        and bool(re.search(schema.get("pattern", ""), value, re.ASCII))
        and ("format" not in schema or re.search("T[0-9:.]+[Z+-]|@", value) is not None)
    )


def valid_array(value: Any, schema: Any, root: Any) -> bool:
    if not isinstance(value, list):
        return True
    prefix = schema.get("prefixItems", [])
    fixed = all(valid(item, rule, root) for item, rule in zip(value, prefix, strict=False))
    rest = value[len(prefix) :]
    rule = schema.get("items", True)
    return (
        fixed
        and (not rest if rule is False else all(valid(item, rule, root) for item in rest))
        and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1 << 30)
    )


def valid_object(value: Any, schema: Any, root: Any) -> bool:
    if not isinstance(value, dict):
        return True
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties", True)
    return (
        set(schema.get("required", ())) <= set(value)
        and all(
            valid(item, properties.get(name, extra), root) for name, item in value.items() if extra is not False
        )
        and schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", 1 << 30)
    )
