"""Tables of sources: what is wrong with one is said with its line, key and value."""

from pathlib import Path

import pytest

from penstock.config import load
from penstock.errors import ConfigError

WEB = '[knowledge.docs.web.w]\nurls = ["https://example.com/"]\n'
SQL = '[knowledge.docs.sql.s]\ndatabase = { env = "URL" }\nquery = "SELECT 1"\nkey = "id"\ntext = "body"\n'
S3 = '[knowledge.docs.s3.b]\nbucket = "reports"\n'
GIT = '[knowledge.docs.git.g]\nurl = "https://example.com/a.git"\n'

GIT_ADDRESSES = (
    "git.g.url must be an address such as 'https://example.com/team/handbook.git' or "
    "'git@example.com:team/handbook.git', without a password; use token."
)

PROBLEMS = {
    WEB + 'schedule = "61 * * * *"': "web.w.schedule must be five fields of cron such as '0 * * * *', not "
    "'61 * * * *' (bad minute).",
    WEB + 'schedule = "hourly"': "web.w.schedule must be five fields of cron such as '0 * * * *', not 'hourly' "
    "(wrong number of fields).",
    WEB + 'timezone = "Mars/Olympus"': "web.w.timezone must be a time zone such as 'Europe/Berlin', not "
    "'Mars/Olympus'.",
    WEB + "max_delete = 1.5": "web.w.max_delete must be at most 1, not 1.5.",
    WEB + 'readers = ["hr"]': "web.w.readers[0] must be such as 'group:hr' or 'project:acme', not 'hr'.",
    WEB + 'metadata = { "the team" = "hr" }': 'web.w.metadata."the team" must be a name of letters, digits, dashes '
    "and underscores.",
    WEB + 'hosts = ["https://x.com"]': "web.w.hosts[0] must be a host such as 'docs.example.com', not "
    "'https://x.com'.",
    WEB + "rate = 0": "web.w.rate must be greater than 0, not 0.",
    '[knowledge.docs.web.w]\nurls = ["ftp://example.com/"]': "web.w.urls[0] must be an address such as "
    "'https://docs.example.com/', not 'ftp://example.com/'.",
    "[knowledge.docs.web.w]\ndepth = 1": "web.w.urls must name a page where there is no sitemap.",
    S3 + 'endpoint = "minio:9000"': "s3.b.endpoint must be an address such as 'https://s3.example.com'.",
    S3 + 'access_key = { env = "ID" }': "s3.b.secret_key is needed with the other.",
    S3
    + 'secret_key = "abc"': "s3.b.secret_key must not be written into the file: put it in an environment variable "
    'and write { env = "NAME" } here. If this file was ever shared, replace the key.',
    S3 + 'link = "https://x.com/"': "s3.b.link must have {key} where the document's key goes.",
    '[knowledge.docs.s3.b]\nbucket = "a/b"': "s3.b.bucket must be the name of a bucket, not 'a/b'.",
    '[knowledge.docs.git.g]\nurl = "ext::sh -c touch% /tmp/x"': GIT_ADDRESSES,
    '[knowledge.docs.git.g]\nurl = "https://me:secret@example.com/a.git"': GIT_ADDRESSES,
    '[knowledge.docs.git.g]\nbranch = "main"': "git.g.url is needed, or path: one of the two.",
    GIT
    + 'branch = "--upload-pack=sh"': "git.g.branch must be the name of a branch or tag, not '--upload-pack=sh'.",
    '[knowledge.docs.git.g]\npath = "x"\ntoken = { env = "T" }': "git.g.token is only for a url of https.",
    SQL.replace("SELECT 1", "DELETE FROM x"): "sql.s.query must be a SELECT.",
    SQL + 'format = "pdf"': "sql.s.format must be one of text, markdown, html, not 'pdf'.",
    SQL + 'titel = "x"': "sql.s.titel is not a setting; did you mean 'title'?",
}


@pytest.mark.parametrize(("text", "message"), PROBLEMS.items(), ids=range(len(PROBLEMS)))
def test_a_wrong_value_is_named_with_its_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "penstock.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    where, _, said = caught.value.message.partition(": knowledge.docs.")
    assert said == message
    assert where.rpartition(":")[2].isdigit(), where
    assert "secret@" not in str(caught.value)


def test_all_of_them_together(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text(
        WEB
        + 'metadata = { team = "hr", year = 2026, draft = false, tags = ["a", "b"] }\nreaders = ["group:hr"]\n'
        + 'schedule = "30 2 * * 1-5"\ntimezone = "Europe/Berlin"\n'
        + S3
        + GIT
        + SQL
    )
    knowledge = load(tmp_path).settings.knowledge["docs"]
    assert knowledge.sources == ()
    assert knowledge.web["w"].metadata == {"team": "hr", "year": 2026, "draft": False, "tags": ("a", "b")}
    assert knowledge.web["w"].readers == ("group:hr",)
    assert (knowledge.s3["b"].region, knowledge.git["g"].branch, knowledge.sql["s"].format) == (
        "us-east-1",
        "",
        "text",
    )


def test_files_of_the_app_are_taken_beside_another_source_where_they_are_set_apart(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "penstock.toml").write_text(WEB)
    assert load(tmp_path).settings.knowledge["docs"].sources == ("docs/**/*",)


def test_documents_may_come_through_the_api_alone(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text("[knowledge.docs]\npush = true\n")
    assert load(tmp_path).settings.knowledge["docs"].sources == ()
