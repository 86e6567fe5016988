"""What an app is where little is said, and every problem of a `penstock.toml` with its message."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.config import AppFolder, Secret, load
from penstock.config.folder import infer_name
from penstock.errors import ConfigError

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user-data"))
    monkeypatch.setattr("sys.platform", "linux")


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes `penstock.toml` into the app folder `handbook`, from above which messages name it."""
    (tmp_path / "handbook").mkdir()
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        (tmp_path / "handbook" / "penstock.toml").write_text(text)
        return tmp_path / "handbook"

    return write


def problem(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.message


def test_a_bare_folder_is_an_app(tmp_path: Path) -> None:
    (tmp_path / "My Docs" / "docs").mkdir(parents=True)
    app = load(tmp_path / "My Docs")
    assert (app.name, app.file, app.single) == ("my-docs", None, None)
    assert app.settings.models["default"].use == "smollm2-135m-instruct"
    assert app.settings.knowledge["docs"].sources == ("**/*",)
    assert app.settings.knowledge["docs"].embedder == "all-minilm-l6-v2"
    assert app.excludes("docs") == (".penstock/**", "evals/golden.jsonl")
    assert app.data == app.root / ".penstock"


def test_a_single_file_is_an_app_whose_data_is_with_the_user(tmp_path: Path) -> None:
    file = tmp_path / "notes [1]*.md"
    file.write_text("x")
    app = load(file)
    assert (app.name, app.root, app.single) == ("notes-1", tmp_path, file)
    assert app.source_root == file
    assert app.settings.knowledge["docs"].sources == ("notes [[]1][*].md",)
    assert app.data.parent == tmp_path / "user-data" / "penstock"
    other = tmp_path / "notes [1].md"
    other.write_text("x")
    assert load(other).data != app.data


def test_an_app_folder_answers_from_its_docs(write: Write) -> None:
    folder = write("")
    assert load(folder).settings.knowledge["docs"].sources == ("**/*",)
    (folder / "docs").mkdir()
    app = load(folder)
    assert app.settings.knowledge["docs"].sources == ("docs/**/*",)
    assert app.excludes("docs") == (".penstock/**", "penstock.toml", "prompts/**", "evals/**", "flows.py")
    assert load(folder / "penstock.toml") == app


def test_what_is_said_holds_and_what_is_not_has_its_default(write: Write) -> None:
    app = load(
        write(
            """
            [app]
            name = "ask-hr"
            mode = "compose"
            [models.strong]
            use = "openai/gpt-4.1-mini"
            api_key = { env = "HR_KEY" }
            [knowledge.policies]
            sources = ["policies/**/*.md"]
            exclude = ["**/draft-*"]
            [server]
            port = 0
            """
        )
    )
    assert (app.name, app.settings.app.mode, app.settings.server.port) == ("ask-hr", "compose", 0)
    strong = app.settings.models["strong"]
    assert (strong.remote, strong.provider, strong.model) == (True, "openai", "gpt-4.1-mini")
    assert strong.api_key == Secret.from_env("HR_KEY")
    assert not app.settings.models["default"].remote
    assert list(app.settings.knowledge) == ["policies"]
    assert app.excludes("policies")[0] == "**/draft-*"
    assert app.settings.knowledge["policies"].chunk_tokens == 200


@pytest.mark.parametrize(
    ("use", "remote", "provider", "model"),
    [
        ("smollm2-135m-instruct", False, "", "smollm2-135m-instruct"),
        ("ollama/llama3.2:1b", True, "ollama", "llama3.2:1b"),
        ("vllm/meta-llama/Llama-3", True, "vllm", "meta-llama/Llama-3"),
        ("hf:owner/repo/file.gguf@main", False, "", "hf:owner/repo/file.gguf@main"),
        ("file:/models/a.gguf", False, "", "file:/models/a.gguf"),
    ],
)
def test_a_model_is_here_or_elsewhere(write: Write, use: str, remote: bool, provider: str, model: str) -> None:
    settings = load(write(f'[models.m]\nuse = "{use}"')).settings.models["m"]
    assert (settings.remote, settings.provider, settings.model) == (remote, provider, model)


PROBLEMS = {
    "misspelt key": (
        '[app]\nnam = "x"',
        "handbook/penstock.toml:2: app.nam is not a setting; did you mean 'name'?",
    ),
    "misspelt table": (
        '\n[modles.strong]\nuse = "x"',
        "handbook/penstock.toml:2: modles is not a setting; did you mean 'models'?",
    ),
    "key of another table": (
        "[app]\nport = 80",
        "handbook/penstock.toml:2: app.port is not a setting; did you mean 'server.port'?",
    ),
    "dashes": (
        '[models.strong]\nuse = "openai/x"\nbase-url = "x"',
        "handbook/penstock.toml:3: models.strong.base-url is not a setting; did you mean 'base_url'?",
    ),
    "nothing like it": ("zzz = 1", "handbook/penstock.toml:1: zzz is not a setting."),
    "inside an inline table": (
        'knowledge = { docs = { source = ["x"] } }',
        "handbook/penstock.toml:1: knowledge.docs.source is not a setting; did you mean 'sources'?",
    ),
    "dotted": (
        "# a comment\nserver.prot = 1\n",
        "handbook/penstock.toml:2: server.prot is not a setting; did you mean 'port'?",
    ),
    "quoted": (
        '["server"]\n"max in flight" = 1',
        "handbook/penstock.toml:2: server.\"max in flight\" is not a setting; did you mean 'max_in_flight'?",
    ),
    "wrong type": (
        '[server]\nport = "7100"',
        "handbook/penstock.toml:2: server.port must be a whole number, not '7100'.",
    ),
    "true for a number": (
        "[traces]\nkeep_days = true",
        "handbook/penstock.toml:2: traces.keep_days must be a whole number, not true.",
    ),
    "a number for text": ("[app]\nname = 3", "handbook/penstock.toml:2: app.name must be text in quotes, not 3."),
    "text for a list": (
        '[knowledge.docs]\nsources = "docs"',
        "handbook/penstock.toml:2: knowledge.docs.sources must be a list, such as ['docs/**/*'], not 'docs'.",
    ),
    "wrong element": (
        '[knowledge.docs]\nsources = [\n  "a",\n  3,\n]',
        "handbook/penstock.toml:4: knowledge.docs.sources[1] must be text in quotes, not 3.",
    ),
    "empty list": (
        "[knowledge.docs]\nsources = []",
        "handbook/penstock.toml:2: knowledge.docs.sources must not be empty without another source, such as "
        "[knowledge.NAME.web.NAME], or push = true.",
    ),
    "a value for a table": (
        'server = "x"',
        "handbook/penstock.toml:1: server must be a table, such as [server], not 'x'.",
    ),
    "a list for named tables": (
        "models = []",
        "handbook/penstock.toml:1: models must be a table of named tables, such as [models.default] or "
        "[knowledge.docs], not a list.",
    ),
    "array of tables": (
        "[[server]]\nport = 1",
        "handbook/penstock.toml:1: server must be a table, such as [server], not a list.",
    ),
    "a word out of place": (
        '[app]\nmode = "qoute"',
        "handbook/penstock.toml:2: app.mode must be one of auto, quote, constrained, compose, not 'qoute'; "
        "did you mean 'quote'?",
    ),
    "too small": (
        "[knowledge.docs]\nchunk_tokens = 3",
        "handbook/penstock.toml:2: knowledge.docs.chunk_tokens must be at least 32, not 3.",
    ),
    "too large": (
        "[server]\nport = 70000",
        "handbook/penstock.toml:2: server.port must be at most 65535, not 70000.",
    ),
    "not a number": (
        "[server]\nmax_body_mb = nan",
        "handbook/penstock.toml:2: server.max_body_mb must be a finite number, not nan.",
    ),
    "a date": (
        "[app]\nname = 1979-05-27",
        "handbook/penstock.toml:2: app.name must be text in quotes, not a date or time.",
    ),
    "missing": ("[models.strong]\n", "handbook/penstock.toml:1: models.strong.use is missing."),
    "no effect here": (
        '[models.m]\nuse = "smollm2-135m-instruct"\nbase_url = "http://127.0.0.1/v1"',
        "handbook/penstock.toml:3: models.m.base_url has no effect on 'smollm2-135m-instruct', which runs on this "
        "machine; a model elsewhere is use = 'provider/model'.",
    ),
    "no effect elsewhere": (
        '[models.m]\nuse = "openai/x"\nengine = "llamacpp"',
        "handbook/penstock.toml:3: models.m.engine has no effect on 'openai/x', which runs elsewhere.",
    ),
    "not an address": (
        '[models.m]\nuse = "a/b"\nbase_url = "localhost:8000"',
        "handbook/penstock.toml:3: models.m.base_url must be an address such as 'https://api.example.com/v1'.",
    ),
    "password in an address": (
        '[models.m]\nuse = "a/b"\nbase_url = "https://me:pw@example.com/v1"',
        "handbook/penstock.toml:3: models.m.base_url must not hold a password; use api_key.",
    ),
    "a host by name": (
        '[server]\nhost = "example.com"',
        "handbook/penstock.toml:2: server.host must be an address such as '127.0.0.1', '0.0.0.0' or '::', not "
        "'example.com'.",
    ),
    "a key in the file": (
        '[keys.web]\nkey = "pst_1234"',
        "handbook/penstock.toml:2: keys.web.key must not be written into the file: put it in an environment "
        'variable and write { env = "NAME" } here. If this file was ever shared, replace the key.',
    ),
    "a file elsewhere": (
        '[knowledge.docs]\nsources = ["../secrets/*"]',
        "handbook/penstock.toml:2: knowledge.docs.sources '../secrets/*' must be a pattern inside the app folder, "
        "such as 'docs/**/*'.",
    ),
    "a name with a slash": (
        '[knowledge."a/b"]\nsources = ["x"]',
        'handbook/penstock.toml:1: knowledge."a/b" must be a name of at most 64 letters, digits, dashes and '
        "underscores.",
    ),
    "two knowledges": (
        '[knowledge.one]\nsources = ["a/*"]\n[knowledge.two]\nsources = ["b/*"]',
        "handbook/penstock.toml:3: knowledge.two is a second knowledge, and an app answers from one: add its "
        "sources to [knowledge.one].",
    ),
    "a model's name": (
        '[app]\nname = "default"',
        "handbook/penstock.toml:2: app.name must not be 'default': a model has that name, and clients could not "
        "tell the two apart.",
    ),
    "a model's own name": (
        '[app]\nname = "all-minilm-l6-v2"',
        "handbook/penstock.toml:2: app.name must not be 'all-minilm-l6-v2': a model has that name, and clients "
        "could not tell the two apart.",
    ),
    "no value": ("[app]\nname =\n", "handbook/penstock.toml:2: not valid TOML: invalid value."),
    "no quotes": ("[app]\nname = handbook\n", "handbook/penstock.toml:2: not valid TOML: invalid value."),
    "no end": ('\n\nname = "x', "handbook/penstock.toml:3: not valid TOML: unterminated string."),
    "twice": ("[app]\n[app]", "handbook/penstock.toml:2: not valid TOML: cannot declare ('app',) twice."),
}


@pytest.mark.parametrize(("text", "message"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_a_problem_is_named_with_its_line(write: Write, text: str, message: str) -> None:
    assert problem(write(text)) == message


def test_nesting_without_end_is_an_error_like_any_other(write: Write) -> None:
    assert problem(write("a = " + "[" * 5000 + "]" * 5000)).startswith("handbook/penstock.toml: not valid TOML")


def test_all_problems_come_together_in_the_order_of_the_file(write: Write) -> None:
    folder = write('[server]\nport = "x"\nhots = "y"\n[app]\nmode = "z"\n')
    assert problem(folder).splitlines() == [
        "3 settings are wrong:",
        "  handbook/penstock.toml:2: server.port must be a whole number, not 'x'.",
        "  handbook/penstock.toml:3: server.hots is not a setting; did you mean 'host'?",
        "  handbook/penstock.toml:5: app.mode must be one of auto, quote, constrained, compose, not 'z'.",
    ]


def test_a_key_in_the_file_is_refused_and_not_repeated(write: Write) -> None:
    message = problem(write('[models.m]\nuse = "openai/x"\napi_key = "sk-very-secret"'))
    assert message.startswith("handbook/penstock.toml:3: models.m.api_key must not be written into the file")
    assert '{ env = "NAME" }' in message
    assert "very-secret" not in message
    message = problem(write('[models.m]\nuse = "openai/x"\napi_key = { value = "sk-very-secret" }'))
    assert message == (
        'handbook/penstock.toml:3: models.m.api_key must be { env = "NAME" }, the environment variable '
        "that holds it."
    )


def test_not_utf_8_and_not_there(write: Write, tmp_path: Path) -> None:
    folder = write("")
    (folder / "penstock.toml").write_bytes(b'[app]\nname = "caf\xe9"\n')
    assert problem(folder) == "handbook/penstock.toml:2: not UTF-8 text."
    assert problem(tmp_path / "handbok") == (
        f"There is no file or folder '{tmp_path / 'handbok'}'; did you mean '{tmp_path / 'handbook'}'?"
    )
    assert problem(tmp_path / "zzzzz") == f"There is no file or folder '{tmp_path / 'zzzzz'}'."


def test_a_byte_order_mark_and_carriage_returns_are_fine(write: Write) -> None:
    folder = write("")
    (folder / "penstock.toml").write_bytes(b'\xef\xbb\xbf[app]\r\nname = "a"\r\n[server]\r\nprt = 1\r\n')
    assert problem(folder) == "handbook/penstock.toml:4: server.prt is not a setting; did you mean 'port'?"


def test_overrides_replace_what_the_file_says_and_are_not_blamed_on_it(write: Write) -> None:
    folder = write('[models.default]\nuse = "smollm2-135m-instruct"\ncontext = 1024\n[server]\nport = 1')
    app = load(folder, {("models", "default"): {"use": "openai/x"}, ("server", "port"): 2})
    assert (app.settings.models["default"].use, app.settings.models["default"].context) == ("openai/x", None)
    assert app.settings.server.port == 2
    with pytest.raises(ConfigError, match=r"^server\.port must be at most 65535, not 70000\."):
        load(folder, {("server", "port"): 70000})
    assert app.where("models", "default", "use") == "models.default.use"
    assert load(folder).where("models", "default", "context") == "handbook/penstock.toml:3: models.default.context"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My docs (2024)", "my-docs-2024"),
        ("Справочник сотрудника", "справочник-сотрудника"),
        ("社内規程", "社内規程"),
        ('it\'s "quoted"', "it-s-quoted"),
        ("...", "app"),
        ("x" * 200, "x" * 64),
    ],
)
def test_a_name_is_made_of_any_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert infer_name(tmp_path / folder) == name


@pytest.mark.parametrize("name", ["default", "smollm2-135m-instruct", "all-minilm-l6-v2"])
def test_a_folder_called_like_a_model_is_an_app_too(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert load(tmp_path / name).name == f"{name}-app"


def data_of(app: AppFolder) -> Path:
    return app.make_data_folder()


def test_where_the_data_goes(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write('[app]\ndata = "state"')
    assert load(folder).data == folder / "state"
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "all"))
    app = load(folder)
    assert app.data.parent == tmp_path / "all"
    assert app.data.name.startswith("handbook-")
    assert data_of(app) == app.data
    assert (app.data / ".gitignore").read_text() == "*\n"
    monkeypatch.delenv("PENSTOCK_DATA")
    (folder / "penstock.toml").unlink()
    (folder / "state").write_text("in the way")
    assert data_of(load(folder)) == folder / ".penstock"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_keeps_its_data_elsewhere(write: Write, tmp_path: Path) -> None:
    folder = write("")
    folder.chmod(0o555)
    try:
        assert load(folder).data.parent == tmp_path / "user-data" / "penstock"
    finally:
        folder.chmod(0o755)


def test_a_data_folder_that_cannot_be_made_is_said_so(write: Write) -> None:
    folder = write('[app]\ndata = "penstock.toml"')
    with pytest.raises(ConfigError, match=r"The data folder .*penstock\.toml cannot be made: .*PENSTOCK_DATA"):
        data_of(load(folder))


def test_a_secret_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " sk-hidden\n")
    for secret in (Secret("sk-hidden"), Secret.from_env("SOME_KEY")):
        shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret])]
        assert not any("hidden" in text for text in shown)
        assert secret.reveal() == "sk-hidden"
        with pytest.raises(TypeError):
            pickle.dumps(secret)
    monkeypatch.setenv("SOME_KEY", "")
    with pytest.raises(ConfigError, match=r"variable SOME_KEY is not set.*export SOME_KEY="):
        Secret.from_env("SOME_KEY").reveal()


def test_settings_with_a_secret_can_be_printed(write: Write) -> None:
    settings = load(write('[models.m]\nuse = "openai/x"\napi_key = { env = "K" }')).settings
    assert settings.model_dump(mode="json")["models"]["m"]["api_key"] == {"env": "K"}
    assert "K" in repr(settings)


def test_a_data_folder_among_the_documents_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text('[app]\nname = "shop"\ndata = "docs/state"\n')
    (tmp_path / "docs").mkdir()
    assert load(tmp_path).excludes("docs")[0] == "docs/state/**"
