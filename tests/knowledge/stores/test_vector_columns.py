"""A filter and a reader mean the same to columns as to `matches` and `may_find`, whatever the metadata."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.knowledge.filters import OPERATORS, ORDERED, AllOf, AnyOf, Compare, Filter, Not, matches
from penstock.knowledge.stores.vectors.columns import DocumentTable
from penstock.knowledge.values import Reader

TEXTS = st.sampled_from(["", "a", "b", "ab", "1", "2020", "é"])
NUMBERS = st.sampled_from([-1, 0, 1, 2, 2020, 2**53, 2**53 + 1]) | st.sampled_from(
    [-0.5, 0.0, 1.0, 2.5, float(2**53)]
)
SCALARS = TEXTS | NUMBERS | st.booleans()
VALUES = SCALARS | st.lists(TEXTS, max_size=3).map(tuple)
FIELDS = st.sampled_from(["team", "year", "tags"])
METADATA = st.dictionaries(FIELDS, VALUES, max_size=3)
TAGS = st.lists(st.sampled_from(["group:hr", "group:it", "key:ci"]), max_size=2).map(tuple)
READERS = st.none().map(Reader) | TAGS.map(Reader)


@st.composite
def comparisons(draw: st.DrawFn) -> Compare:
    field, operator = draw(FIELDS), draw(st.sampled_from(OPERATORS))
    if operator in ("in", "nin"):
        return Compare(field, operator, tuple(draw(st.lists(SCALARS, max_size=3))))
    if operator == "exists":
        return Compare(field, operator, draw(st.booleans()))
    return Compare(field, operator, draw(TEXTS | NUMBERS if operator in ORDERED else SCALARS))


FILTERS: st.SearchStrategy[Filter] = st.recursive(
    comparisons(),
    lambda inner: (
        inner.map(Not)
        | st.lists(inner, max_size=3).map(lambda each: AllOf(tuple(each)))
        | st.lists(inner, max_size=3).map(lambda each: AnyOf(tuple(each)))
    ),
    max_leaves=6,
)
DOCUMENTS = st.lists(st.tuples(METADATA, TAGS), max_size=8)


def table(documents: list[tuple[dict[str, object], tuple[str, ...]]]) -> DocumentTable:
    return DocumentTable.of(np.arange(len(documents)) + 10, documents)  # type: ignore[arg-type]


def mask_of(documents: DocumentTable, reader: Reader, filter: Filter | None) -> list[bool]:
    mask = documents.mask(reader, filter)
    return [True] * documents.count if mask is None else mask.tolist()


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, FILTERS | st.none(), READERS)
def test_columns_choose_what_the_reference_chooses(documents: list, filter: Filter | None, reader: Reader) -> None:
    expected = [
        reader.may_find(readers) and (filter is None or matches(filter, metadata))
        for metadata, readers in documents
    ]
    assert mask_of(table(documents), reader, filter) == expected


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, DOCUMENTS, FILTERS, READERS, st.randoms())
def test_joined_tables_say_of_each_document_what_its_own_table_said(
    one: list, other: list, filter: Filter, reader: Reader, chance: object
) -> None:
    parts = []
    expected: list[bool] = []
    rows: list[int] = []
    for documents in (one, other):
        whole = table(documents)
        chosen = sorted(chance.sample(range(len(documents)), chance.randint(0, len(documents))))  # type: ignore[attr-defined]
        parts.append((whole, np.array(chosen, dtype=np.int64)))
        expected += [mask_of(whole, reader, filter)[at] for at in chosen]
        rows += [int(whole.rows[at]) for at in chosen]
    joined = DocumentTable.joined(parts)
    assert mask_of(joined, reader, filter) == expected
    assert joined.rows.tolist() == rows
