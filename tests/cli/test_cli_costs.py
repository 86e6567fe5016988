"""`penstock costs`: tables, CSV, JSON, invoices and advice, from a ledger that no server holds."""

import csv
import io
import json
from pathlib import Path

import pytest
from support.ledgers import call, made, opened
from support.terminal import on_terminal
from typer.testing import CliRunner

from penstock.access.ledger import LedgerOutcome
from penstock.cli.main import app
from penstock.clock import SYSTEM_CLOCK, ManualClock
from penstock.config import load
from penstock.exchange import Usage

DAY = 86_400


def ok(cost: int | None, target: str) -> LedgerOutcome:
    return LedgerOutcome(status="ok", usage=Usage(1000, 50, cost_nanos=cost), served_by=target)


@pytest.fixture
def spent(documents: Path) -> Path:
    """Two days ago and yesterday: a dear model, a cheap one, one that nobody can price."""
    clock = ManualClock(SYSTEM_CLOCK.now_us() // (DAY * 1_000_000) * DAY * 1_000_000 - 2 * DAY * 1_000_000)
    ledger = opened(load(documents).make_data_folder(), clock=clock)
    for _ in range(2):
        made(ledger, call("Why?", model="big", user="ann"), ok(1_500_000_000, "openai/gpt-4.1-2025-04-14"))
        made(ledger, call("Why?", model="small"), ok(2_500_000, "openai/gpt-4.1-mini"))
        made(ledger, call("Why?", model="tiny"), ok(None, "smollm2"))
        clock.advance(DAY)
    ledger.close()
    return documents


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["costs", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_lines_for_a_pipe(spent: Path) -> None:
    assert run(spent).splitlines() == [
        "big\t2\t3.000000000", "small\t2\t0.005000000", "tiny\t2\t0.000000000", "total\t6\t3.005000000",
    ]  # fmt: skip
    assert run("show", spent, "--by", "user", "--only", "model=big").splitlines()[0] == "ann\t2\t3.000000000"
    assert run(spent, "--by", "", "--since", "3d").splitlines()[-1].startswith("total\t")


def test_a_table_with_bars_for_a_terminal(spent: Path) -> None:
    _, shown = on_terminal(["costs", str(spent), "--by", "project,model"])
    assert "$3.00" in shown
    assert "$0.0050" in shown
    assert "█" * 20 in shown
    assert "2,000" in shown
    assert "2 calls have no known cost" in shown


def test_csv_and_json_hold_all_sums(spent: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(spent, "--by", "model", "--every", "day", "--csv"))))
    assert [(row["model"], row["cost_nanos"], row["input"]) for row in rows][:2] == [
        ("big", "1500000000", "1000"), ("small", "2500000", "1000"),
    ]  # fmt: skip
    assert rows[0]["start"] < rows[3]["start"]
    found = json.loads(run(spent, "--json"))
    assert found["total"]["unpriced"] == 2
    assert found["data"][0]["by"] == {"model": "big"}


def test_nothing_yet(documents: Path) -> None:
    assert "No model was called" in CliRunner().invoke(app, ["costs", str(documents)]).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "colour"], "Costs are not told apart by 'colour'"),
        (["--since", "soon"], "--since 'soon' is not a time"),
        (["--only", "model"], "--only 'model' is not a name and a value"),
        (["--only", "modell=big"], "modell"),
    ],
)
def test_what_cannot_be_asked_is_said(spent: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["costs", str(spent), *arguments])
    assert result.exit_code != 0
    assert message in result.output


def test_an_invoice_that_differs(spent: Path, tmp_path: Path) -> None:
    day = json.loads(run(spent, "--by", "day", "--json"))["data"][0]["by"]["day"]
    file = tmp_path / "bill.csv"
    file.write_text(
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item\n"
        f'1,2,{day}T00:00:00,x,1.20,usd,"gpt-4.1, input_tokens"\n'
        f'1,2,{day}T00:00:00,x,0.40,usd,"gpt-4.1, output_tokens"\n'
        f'1,2,{day}T00:00:00,x,0.0025,usd,"gpt-4.1-mini, input_tokens"\n'
    )
    result = CliRunner().invoke(app, ["costs", "invoice", str(file), str(spent)])
    assert result.stdout.splitlines() == [
        f"{day}\tgpt-4-1\t$1.60\t$1.50\t$0.10\t-",
        f"{day}\tgpt-4-1-mini\t$0.0025\t$0.0025\t$0.00\t-",
    ]
    assert "openai has $0.10 and +0 tokens more than the ledger, over 2 lines." in result.output
    (first, _) = json.loads(run("invoice", file, spent, "--json"))
    assert (first["cost_nanos"], first["ours"]["input"]) == (100_000_000, 1000)


def test_advice_from_the_ledger_alone(spent: Path) -> None:
    assert "Nothing was found" in CliRunner().invoke(app, ["costs", "advise", str(spent)]).output
    ledger = opened(load(spent).make_data_folder())
    for _ in range(3):
        made(ledger, call("Again?", model="big"), ok(500_000_000, "openai/gpt-4.1"))
    ledger.close()
    shown = run("advise", spent)
    assert "$1.00" in shown
    assert "2 calls asked 'big' exactly what had been asked within the hour before." in shown
    (found,) = json.loads(run("advise", spent, "--json"))["data"]
    assert (found["kind"], found["saves_nanos"]) == ("repeated", 1_000_000_000)


def test_a_file_that_is_none(spent: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["costs", "invoice", str(tmp_path / "none.csv"), str(spent)])
    assert result.exit_code != 0
    assert "cannot be read" in result.output
