"""A provider's file against the ledger: the shapes that are known, and what is wrong with others."""

import pytest

from penstock.access.costs.invoice import (
    Amounts,
    Difference,
    InvoiceLine,
    compare,
    plain_model,
    read_invoice,
    target_model,
)
from penstock.access.costs.values import CostRow, Sums
from penstock.errors import InvalidRequest

OPENAI_USAGE = """\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,\
service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens
1767225600,1767312000,2026-01-01T00:00:00+00:00,2026-01-02T00:00:00+00:00,proj_a,3,,key_1,gpt-4.1-mini-2025-04-14,\
False,default,1000,50,400,600
1767225600,1767312000,2026-01-01T00:00:00+00:00,2026-01-02T00:00:00+00:00,proj_b,1,,key_2,gpt-4.1-mini-2025-04-14,\
False,default,10,5,0,10
1767312000,1767398400,2026-01-02T00:00:00+00:00,2026-01-03T00:00:00+00:00,,,,,,,,,,,
"""
OPENAI_COSTS = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item
1767225600,1767312000,2026-01-01T00:00:00,2026-01-02T00:00:00,0.0024,usd,1000,tokens,"gpt-4.1-mini, input_tokens"
1767225600,1767312000,2026-01-01T00:00:00,2026-01-02T00:00:00,0.0008,usd,50,tokens,"gpt-4.1-mini, output_tokens"
1767312000,1767398400,2026-01-02T00:00:00,2026-01-03T00:00:00,,,,,
"""
OPENAI_DAYS = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id
1767225600,1767312000,2026-01-01T00:00:00+00:00,2026-01-02T00:00:00+00:00,0.5,usd,,
"""
ANTHROPIC_USAGE = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,\
usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,\
usage_output_tokens,web_search_count,inference_geo,speed
2026-01-01,claude-haiku-4-5-20251001,demo,Default,standard,≤ 200k,100,20,3,40,5,0,not_available,
"""
ANTHROPIC_COSTS = """\
usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type
2026-01-01,Claude Haiku 4.5,Default,demo,message,≤ 200k,input_no_cache,0.05,0.05,token
2026-01-01,Claude Haiku 4.5,Default,demo,message,≤ 200k,output,0.02,0.02,token
2026-01-02,Claude Opus 4.5,Default,demo,message,≤ 200k,output,"1,000.30",0.30,token
"""


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (OPENAI_USAGE, [InvoiceLine("2026-01-01", "gpt-4-1-mini", Amounts(4, 610, 400, None, 55))]),
        (OPENAI_COSTS, [InvoiceLine("2026-01-01", "gpt-4-1-mini", Amounts(cost_nanos=3_200_000))]),
        (OPENAI_DAYS, [InvoiceLine("2026-01-01", "", Amounts(cost_nanos=500_000_000))]),
        (ANTHROPIC_USAGE, [InvoiceLine("2026-01-01", "claude-haiku-4-5", Amounts(None, 100, 40, 23, 5))]),
        (
            ANTHROPIC_COSTS,
            [
                InvoiceLine("2026-01-01", "claude-haiku-4-5", Amounts(cost_nanos=70_000_000)),
                InvoiceLine("2026-01-02", "claude-opus-4-5", Amounts(cost_nanos=1_000_300_000_000)),
            ],
        ),
    ],
)
def test_the_exports_of_consoles_are_known(data: str, lines: list[InvoiceLine]) -> None:
    assert read_invoice(data) == lines
    assert read_invoice("\ufeff" + data.replace("\n", "\r\n")) == lines


def test_any_file_can_be_read_that_says_which_column_is_which() -> None:
    data = "Date;Model;Amount;Tokens\n2026-01-01;llama;$1.5;7\n1767225600;llama;0.5;\n"
    columns = {"day": "Date", "model": "Model", "cost": "Amount", "output": "Tokens"}
    assert read_invoice(data, columns) == [
        InvoiceLine("2026-01-01", "llama", Amounts(output=7, cost_nanos=2_000_000_000))
    ]


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        ("a,b\n1,2\n", None, r"is no export that is known: its columns are a, b\. Say which is which"),
        ("", None, "its columns are missing"),
        ("a,b\n1,2\n", {"day": "a", "cots": "b"}, "'cots' is not read from an invoice. Use day, model"),
        ("a,b\n1,2\n", {"day": "a", "cost": "c"}, "The file has no column 'c'. It has a, b"),
        ("a,b\n1,2\n", {"cost": "b"}, "A column for the day and one for an amount are needed"),
        ("a,b\n2026-01-01,two\n", {"day": "a", "cost": "b"}, "Line 2: 'two' in column 'b' is not an amount"),
        ("a,b\nJan 1,2\n", {"day": "a", "cost": "b"}, "Line 2: 'Jan 1' in column 'a' is not a day"),
        ("a,b\n2026-01-01,1e999999999\n", {"day": "a", "calls": "b"}, "is not a whole number"),
        (OPENAI_COSTS.replace("usd", "eur"), None, "Line 2: the amount is in 'eur'"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(data: str, columns: dict[str, str] | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_invoice(data, columns)


def spent(day: str, target: str, cost: int, **sums: int) -> CostRow:
    return CostRow(group={"day": day, "target": target}, start_us=None, sums=Sums(cost_nanos=cost, **sums))


def test_differences_by_day_and_model() -> None:
    theirs = read_invoice(ANTHROPIC_COSTS)
    ours = [
        spent("2026-01-01", "anthropic/claude-haiku-4-5", 50_000_000),
        spent("2026-01-01", "anthropic/claude-haiku-4-5-20251001@10.0.0.1", 10_000_000),
        spent("2026-01-01", "anthropic/claude-sonnet-4-5", 5_000_000),
        spent("2026-01-03", "anthropic/claude-sonnet-4-5", 9_000_000),  # not a day of the file
    ]
    found = compare(theirs, ours)
    assert [(each.day, each.model, each.cost_nanos) for each in found] == [
        ("2026-01-01", "claude-haiku-4-5", 10_000_000),
        ("2026-01-01", "claude-sonnet-4-5", -5_000_000),
        ("2026-01-02", "claude-opus-4-5", 1_000_300_000_000),
    ]
    assert (found[1].theirs, found[2].ours) == (None, None)


def test_a_file_that_only_counts_is_compared_by_what_it_counts() -> None:
    ours = [spent("2026-01-01", "openai/gpt-4.1-mini", 123, input=600, cached_input=400, output=40, reasoning=10)]
    (found,) = compare(read_invoice(OPENAI_USAGE), ours)
    assert isinstance(found, Difference)
    assert (found.tokens, found.cost_nanos) == (610 + 400 + 55 - 1050, None)


def test_a_file_without_models_is_compared_by_the_day() -> None:
    ours = [spent("2026-01-01", "openai/a", 200_000_000), spent("2026-01-01", "openai/b", 100_000_000)]
    (found,) = compare(read_invoice(OPENAI_DAYS), ours)
    assert (found.model, found.cost_nanos) == ("", 200_000_000)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Claude Haiku 4.5", "anthropic/claude-haiku-4-5-20251001"),
        ("gpt-4.1-mini-2025-04-14", "openai/gpt-4.1-mini"),
        ("gpt-4o", "azure/gpt-4o@my.openai.azure.com"),
        ("Llama 3.3 70B", "groq/llama-3.3-70b#2"),
    ],
)
def test_models_are_found_by_either_name(one: str, other: str) -> None:
    assert plain_model(one) == target_model(other)
