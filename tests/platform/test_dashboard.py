"""The dashboard that comes with Penstock asks only for figures that there are, by labels that they have."""

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.served_platform import at, served
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.testing import ProviderServer

CACHED = "[cache]\nenabled = true"


async def test_every_figure_that_it_asks_for_exists(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["dashboard"])
    assert printed.exit_code == 0
    panels = json.loads(printed.output)["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(queries) > 20
    async with ProviderServer() as upstream, served(tmp_path, at(upstream), CACHED) as it:
        assert (await it.chat())[0] == 200
        async with it.session.get(it.url + "/metrics") as answer:
            text = await answer.text()
    declared = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for query in queries:
        (name,) = set(re.findall(r"penstock_\w+", query))
        assert name in declared or name.removesuffix("_bucket") in declared, query
        grouped = re.search(r"by \(([^)]*)\)", query)
        if grouped and name in labels and labels[name]:
            assert set(grouped[1].split(", ")) <= labels[name], query


async def test_figures_count_what_came_in_and_went_out(tmp_path: Path) -> None:
    limit = "[[limits]]\nrequests = 1\nwindow = '1h'"
    async with ProviderServer() as upstream, served(tmp_path, at(upstream), limit) as it:
        assert [(await it.chat())[0] for _ in range(3)] == [200, 429, 429]
        async with it.session.get(it.url + "/metrics") as answer:
            found = {
                sample.name: sample.value
                for family in text_string_to_metric_families(await answer.text())
                for sample in family.samples
                if set(sample.labels.values()) <= {"requests"}
            }
    assert found["penstock_bytes_in_total"] > 3 * 40
    assert found["penstock_bytes_out_total"] > 100
    assert found["penstock_connections"] >= 1
    assert found["penstock_limit_denials_total"] == 2
