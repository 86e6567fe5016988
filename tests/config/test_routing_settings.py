"""The settings of a route: what they become, and how each wrong one is told."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.cli.config import verify
from penstock.config import ModelSettings, load
from penstock.config.reference import sections
from penstock.errors import ConfigError
from penstock.gateway.routing.policy import Policy

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "gate"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "a.md").write_text("A.")

    def written(text: str) -> Path:
        (folder / "penstock.toml").write_text(textwrap.dedent(text))
        return folder

    return written


def test_a_route_over_targets(write: Write) -> None:
    folder = write(
        """
        [models.smart]
        strategy = "latency"
        fallback = ["default", "anthropic/claude-haiku-4-5"]
        fallback_on = ["timeout", "content_filter"]
        longer = "gemini/gemini-2.5-pro"
        retries = 1
        hedge_after = 1.5
        eject_after = 3
        max_wait_seconds = 2
        total_seconds = 60
        targets = [
            { use = "openai/gpt-4.1-mini", weight = 3 },
            { use = "vllm/llama", base_url = "http://10.0.0.7:8000/v1", max_in_flight = 32 },
        ]
        """
    )
    smart = load(folder).settings.models["smart"]
    assert [(each.use, each.weight, each.max_in_flight) for each in smart.backends] == [
        ("openai/gpt-4.1-mini", 3.0, None),
        ("vllm/llama", 1.0, 32),
    ]
    assert smart.remote
    policy = Policy.of(smart)
    assert (policy.strategy, policy.retries, policy.hedge_after, policy.max_wait) == ("latency", 1, 1.5, 2.0)
    assert policy.fallback_on == {"timeout", "content_filter"}
    assert (policy.eject.after, policy.eject.seconds, policy.total) == (3, 30.0, 60.0)
    assert [name for _, name in smart.leads_to] == [*smart.fallback, "gemini/gemini-2.5-pro"]


def test_targets_as_tables_of_their_own(write: Write) -> None:
    folder = write(
        """
        [[models.smart.targets]]
        use = "openai/gpt-4.1-mini"
        [[models.smart.targets]]
        use = "default"
        """
    )
    smart = load(folder).settings.models["smart"]
    assert [each.remote for each in smart.backends] == [True, False]
    assert not smart.remote


def test_one_target_is_its_own_backend() -> None:
    single = ModelSettings(use="openai/gpt-4.1-mini", max_in_flight=4, longer="openai/gpt-4.1")
    assert single.backends == (single,)
    assert Policy.of(single).retries == 2


A = '[models.a]\nuse = "openai/x"\n'
PROBLEMS = {
    "neither": ("[models.a]\nretries = 1", "models.a.use is missing."),
    "both": (
        '[models.a]\nuse = "openai/x"\ntargets = [{ use = "openai/y" }]',
        "2: models.a.use belongs to each of the targets, where there are targets.",
    ),
    "a key for all targets": (
        '[models.a]\nbase_url = "http://h/v1"\ntargets = [{ use = "openai/y" }]',
        "2: models.a.base_url belongs to each of the targets, where there are targets.",
    ),
    "no targets": ("[models.a]\ntargets = []", "models.a.use is missing."),
    "misspelt in a target": (
        '[models.a]\ntargets = [\n  { use = "openai/y" },\n  { use = "openai/z", wieght = 1 },\n]',
        "4: models.a.targets[1].wieght is not a setting; did you mean 'weight'?",
    ),
    "a weight of nothing": (
        '[[models.a.targets]]\nuse = "openai/y"\nweight = 0',
        "3: models.a.targets[0].weight must be greater than 0, not 0.",
    ),
    "no place at all": (A + "max_in_flight = 0", "3: models.a.max_in_flight must be at least 1, not 0."),
    "a key in a target": (
        '[models.a]\ntargets = [{ use = "openai/y", api_key = "sk-1234" }]',
        "2: models.a.targets[0].api_key must not be written into the file",
    ),
    "no effect in a target": (
        '[models.a]\ntargets = [{ use = "openai/y", context = 1000 }]',
        "2: models.a.targets[0].context has no effect on 'openai/y', which runs elsewhere.",
    ),
    "weight of one": (A + "weight = 2", "3: models.a.weight has no effect on a model with one target."),
    "strategy of one": (
        A + 'strategy = "latency"',
        "3: models.a.strategy has no effect on a model with one target.",
    ),
    "strategy": (
        '[models.a]\ntargets = [{ use = "openai/y" }, { use = "openai/z" }]\nstrategy = "latncy"',
        "3: models.a.strategy must be one of weighted, least_in_flight, latency, cost, prefix, not 'latncy'; "
        "did you mean 'latency'?",
    ),
    "hedge of one": (
        A + "hedge_after = 1.0",
        "3: models.a.hedge_after has no effect on a model with one target: a second attempt goes to another.",
    ),
    "hedge at once": (A + "hedge_after = 0", "3: models.a.hedge_after must be greater than 0, not 0."),
    "connection to here": (
        '[models.a]\nuse = "smollm2-135m-instruct"\nconnect_seconds = 1.0',
        "3: models.a.connect_seconds has no effect on a model that runs on this machine.",
    ),
    "fallback that is near": (
        A + 'fallback = ["defualt"]',
        "3: models.a.fallback[0] 'defualt' is neither a model of this file nor 'provider/model'; "
        "did you mean 'default'?",
    ),
    "fallback that is nowhere": (
        A + 'fallback = ["default", "zzzzzz"]',
        "3: models.a.fallback[1] 'zzzzzz' is neither a model of this file nor 'provider/model': add "
        "[models.zzzzzz].",
    ),
    "longer that is nowhere": (
        A + 'longer = "zzzzzz"',
        "3: models.a.longer 'zzzzzz' is neither a model of this file nor 'provider/model': add [models.zzzzzz].",
    ),
    "fallback to itself": (A + 'fallback = ["a"]', "3: models.a.fallback[0] leads in a circle: a → a."),
    "fallback to itself by its other name": (
        A + 'fallback = ["openai/x"]',
        "3: models.a.fallback[0] leads in a circle: a → a.",
    ),
    "a circle of three": (
        A + 'fallback = ["b"]\n[models.b]\nuse = "openai/y"\nlonger = "c"\n[models.c]\nuse = "openai/z"\n'
        'fallback = ["default", "a"]',
        "9: models.c.fallback[1] leads in a circle: a → b → c → a.",
    ),
    "a circle by difficulty": (
        A + '[models.a.difficulty]\neasy = "b"\n[models.b]\nuse = "openai/y"\nfallback = ["a"]',
        "7: models.b.fallback[0] leads in a circle: a → b → a; what fails as easy is answered by the model that "
        "sent it, without a fallback.",
    ),
    "kind of failure": (
        A + 'fallback_on = ["timeuot"]',
        "3: models.a.fallback_on[0] must be one of rate_limit, overloaded, timeout, connection, server_error, "
        "context_length, auth, bad_request, content_filter, broken_stream, not 'timeuot'; did you mean 'timeout'?",
    ),
    "no kinds": (A + "fallback_on = []", "3: models.a.fallback_on must not be empty."),
    "fewer than no retries": (A + "retries = -1", "3: models.a.retries must be at least 0, not -1."),
    "too many retries": (A + "retries = 99", "3: models.a.retries must be at most 10, not 99."),
    "ejection": (A + "eject_after = 0", "3: models.a.eject_after must be at least 1, not 0."),
    "seconds": (A + 'first_token_seconds = "1s"', "3: models.a.first_token_seconds must be a number, not '1s'."),
    "difficulty without a model": (A + "[models.a.difficulty]\n", "3: models.a.difficulty.easy is missing."),
    "difficulty by what": (
        A + '[models.a.difficulty]\neasy = "default"\nby = "classifer"',
        "5: models.a.difficulty.by must be one of rules, classifier, not 'classifer'; did you mean 'classifier'?",
    ),
    "a threshold of rules": (
        A + '[models.a.difficulty]\neasy = "default"\nthreshold = 0.5',
        "5: models.a.difficulty.threshold has no effect where difficulty is told by rules.",
    ),
    "a rule of the classifier": (
        A + '[models.a.difficulty]\neasy = "default"\nby = "classifier"\nmaths = true',
        "6: models.a.difficulty.maths has no effect where difficulty is told by classifier.",
    ),
}


@pytest.mark.parametrize(("text", "message"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_each_wrong_setting_is_named_with_its_line(write: Write, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert message in caught.value.message
    assert caught.value.message.startswith("gate/penstock.toml")
    assert "sk-1234" not in str(caught.value)


def test_every_setting_of_a_route_is_explained() -> None:
    found = {section.header: section for section in sections() if section.header.startswith("models")}
    assert set(found) == {"models.NAME", "models.NAME.difficulty", "models.NAME.targets"}
    assert found["models.NAME.targets"].is_list
    for section in found.values():
        assert section.about
        assert all(setting.description for setting in section.settings)


PAGE = Path(__file__).parents[2] / "docs" / "routing.md"


@pytest.mark.parametrize("example", re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
def test_the_examples_of_the_docs_are_right(write: Write, example: str) -> None:
    folder = load(write(example))
    verify(folder)
