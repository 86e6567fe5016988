"""`penstock keys`: makes keys, shows them, ends them and replaces them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, NamedApp, examples
from penstock.cli.output import note, say, say_json
from penstock.errors import InvalidRequest

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.http.api.keys import KeyWire, MadeKeyWire

app = typer.Typer(no_args_is_help=True, help="Make, list, revoke and rotate the keys that requests need.")

CREATE_EXAMPLES = examples(
    "penstock keys create my-docs/ --name ops --role owner",
    "penstock keys create my-docs/ --name web --project team-a --model 'gpt-*' --expires 90d",
    "penstock keys create my-docs/ --name batch --limit usd=50/month --limit requests=60/1m",
    "penstock keys create my-docs/ --name hr-portal --group hr",
)
ROTATE_EXAMPLES = examples(
    "penstock keys rotate my-docs/ web --overlap 24h",
    "penstock keys rotate my-docs/ key_0197f2c4b1de7a3f --overlap 10m --expires 90d",
)
REVOKE_EXAMPLES = examples(
    "penstock keys revoke my-docs/ web",
    "penstock keys revoke my-docs/ key_0197f2c4b1de7a3f --keep-children",
)
Named = Annotated[str, typer.Argument(metavar="KEY", help="A key's id, its first characters, or its name.")]
Expires = Annotated[str | None, typer.Option(metavar="AGE", help="End after 24h, 90d …; default: never.")]
Project = Annotated[str | None, typer.Option(metavar="PROJECT", help="The project it belongs to; default: local.")]


@app.command("create", epilog=CREATE_EXAMPLES)
def create(
    path: AppPath = HERE,
    name: Annotated[str, typer.Option(metavar="NAME", help="What uses it, such as web-app.")] = "",
    role: Annotated[
        Literal["viewer", "developer", "admin", "owner"],
        typer.Option(metavar="ROLE", help="viewer, developer, admin or owner."),
    ] = "developer",
    project: Project = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="A model it may ask, such as 'gpt-*'; repeatable.")
    ] = None,
    route: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="A path it may use, such as '/v1/*'; repeatable.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(metavar="GROUP", help="A group whose documents it may find; repeatable.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="LIMIT", help="requests=60/1m, tokens=1000000/day, usd=50/month, concurrent=8."),
    ] = None,
    expires: Expires = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once. From the first key on, the server answers nobody without one."""
    from penstock.cli.governing import ends_at
    from penstock.config import load

    if not name:
        raise InvalidRequest("The key needs a name.", hint="Name it after what uses it: --name web-app.")
    folder = load(path)
    body = {
        "name": name,
        "role": role,
        "project_id": project,
        "models": model or [],
        "routes": route or [],
        "groups": group or [],
        "limits": [limit_table(each) for each in limit or ()],
    }
    if (end := ends_at("--expires", expires)) is not None:
        body["expires_at"] = end.isoformat()
    _show_made(folder, _create(folder, body), as_json)


@app.command(
    "list", epilog=examples("penstock keys list my-docs/", "penstock keys list my-docs/ --project team-a --json")
)
def list_(
    path: AppPath = HERE,
    project: Annotated[str | None, typer.Option(metavar="PROJECT", help="Only keys of this project.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Keys that have ended, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the keys with their rights, newest first; the keys themselves are kept nowhere."""
    from penstock.cli.governing import moment, table
    from penstock.config import load

    keys = [key for key in _list(load(path), project) if all_ or not state(key)]
    if as_json:
        say_json(keys)
        return
    if not keys:
        note("There are no keys. Make one with: penstock keys create --name NAME")
        return
    rows = [
        (
            key.id,
            key.name + (f" ({state(key)})" if state(key) else ""),
            f"{key.prefix}…",
            key.project_id,
            key.role,
            " ".join(key.models) or "all",
            moment(key.expires_us, "never"),
            moment(key.last_used_us, "never"),
        )
        for key in keys
    ]
    table(("Id", "Name", "Key", "Project", "Role", "Models", "Ends", "Last used"), rows)


@app.command("revoke", epilog=REVOKE_EXAMPLES)
def revoke(
    path: NamedApp,
    key: Named,
    keep_children: Annotated[
        bool, typer.Option("--keep-children", help="Leave the keys that were made with it.")
    ] = False,
) -> None:
    """End a key at once, and all keys that were made with it."""
    from penstock.config import load

    folder = load(path)
    for ended in _revoke(folder, _find(folder, key).id, not keep_children):
        say(("revoked  ", "green"), f"{ended.id}  {ended.name}")


@app.command("rotate", epilog=ROTATE_EXAMPLES)
def rotate(
    path: NamedApp,
    key: Named,
    overlap: Annotated[str, typer.Option(metavar="AGE", help="How long the old key goes on.")] = "24h",
    expires: Expires = None,
    as_json: AsJson = False,
) -> None:
    """Make a successor with the same rights; the old key goes on for a while, so that nothing breaks."""
    from penstock.cli.governing import duration, ends_at
    from penstock.config import load

    folder = load(path)
    body: dict[str, Any] = {"overlap_seconds": duration("--overlap", overlap).total_seconds()}
    if (end := ends_at("--expires", expires)) is not None:
        body["expires_at"] = end.isoformat()
    made = _rotate(folder, _find(folder, key).id, body)
    _show_made(folder, made, as_json)
    if not as_json:
        note(f"The old key works for {overlap} more.")


def limit_table(text: str) -> dict[str, Any]:
    """`usd=50/month` as a table of `[[limits]]`, counted for the key. Raises `InvalidRequest`."""
    amount, _, rest = text.partition("=")
    value, _, window = rest.partition("/")
    try:
        number = float(value) if amount == "usd" else int(value)
    except ValueError:
        raise InvalidRequest(
            f"--limit {text!r} is not a limit.", hint="Write requests=60/1m, usd=50/month or concurrent=8."
        ) from None
    return {"per": "key", amount: number} | ({"window": window} if window else {})


def state(key: KeyWire) -> str:
    """Why a key does not work any more; "" while it does."""
    import time

    if key.revoked_us is not None:
        return "revoked"
    return "expired" if key.expires_us is not None and key.expires_us <= time.time_ns() // 1000 else ""


def _show_made(folder: AppFolder, made: MadeKeyWire, as_json: bool) -> None:
    """The key alone goes to standard output, so that `$(penstock keys create …)` is the key."""
    if as_json:
        say_json(made)
        return
    from penstock.client import running_server

    server = running_server(folder)
    url = server.url if server else f"http://127.0.0.1:{folder.settings.server.port}"
    key = made.key
    note((f"{key.name}", "bold"), f"  {key.role} of project {key.project_id}  ({key.id})")
    say(made.secret)
    note()
    note(("It is shown this once. Use it so:", "dim"))
    note(f"  export OPENAI_BASE_URL={url}/v1")
    note(f"  export OPENAI_API_KEY={made.secret[:8]}…")


def _create(folder: AppFolder, body: dict[str, Any]) -> MadeKeyWire:
    import msgspec

    from penstock.audit.record import COMMAND_LINE
    from penstock.cli.governing import with_access
    from penstock.client import Server, running_server
    from penstock.http.api.keys import KeyBody, MadeKeyWire, made_wire, new_key

    if server := running_server(folder):
        return msgspec.convert(Server.of(server).post("/api/v1/keys", body), MadeKeyWire)
    wanted = new_key(msgspec.convert(body, KeyBody))
    return made_wire(with_access(folder, lambda access: access.keys.create(COMMAND_LINE, wanted)))


def _list(folder: AppFolder, project: str | None) -> tuple[KeyWire, ...]:
    import msgspec

    from penstock.audit.record import COMMAND_LINE
    from penstock.cli.governing import with_access
    from penstock.client import Server, running_server
    from penstock.http.api.keys import KeyList, key_wire

    if server := running_server(folder):
        found = Server.of(server).get("/api/v1/keys", project_id=project)
        return msgspec.convert(found, KeyList).data

    async def read(access: Any) -> tuple[KeyWire, ...]:
        return tuple(key_wire(key) for key in access.keys.list(COMMAND_LINE.principal, project))

    return with_access(folder, read)


def _find(folder: AppFolder, named: str) -> KeyWire:
    """The one key that still works with this id, beginning of an id, or name."""
    from penstock.errors import NotFound

    keys = _list(folder, None)
    live = [key for key in keys if not state(key)]
    found = [key for key in live if key.id == named] or [
        key for key in live if key.name == named or (len(named) > 8 and key.id.startswith(named))
    ]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} keys are called" if found else "No key that works is called"
    hint = (
        f"Name one by its id: {', '.join(key.id for key in found[:3])}." if found else "See `penstock keys list`."
    )
    raise NotFound(f"{what} {named!r}.", hint=hint)


def _revoke(folder: AppFolder, key_id: str, children: bool) -> tuple[KeyWire, ...]:
    import msgspec

    from penstock.audit.record import COMMAND_LINE
    from penstock.cli.governing import with_access
    from penstock.client import Server, running_server
    from penstock.http.api.keys import KeyList, key_wire

    if server := running_server(folder):
        ended = Server.of(server).post(f"/api/v1/keys/{key_id}/revoke", {"children": children})
        return msgspec.convert(ended, KeyList).data
    found = with_access(folder, lambda access: access.keys.revoke(COMMAND_LINE, key_id, children_too=children))
    return tuple(key_wire(key) for key in found)


def _rotate(folder: AppFolder, key_id: str, body: dict[str, Any]) -> MadeKeyWire:
    import msgspec

    from penstock.audit.record import COMMAND_LINE
    from penstock.cli.governing import with_access
    from penstock.client import Server, running_server
    from penstock.http.api.keys import MadeKeyWire, RotateBody, made_wire, microseconds

    if server := running_server(folder):
        return msgspec.convert(Server.of(server).post(f"/api/v1/keys/{key_id}/rotate", body), MadeKeyWire)
    wanted = msgspec.convert(body, RotateBody)
    ends = microseconds(wanted.expires_at)
    made = with_access(
        folder, lambda access: access.keys.rotate(COMMAND_LINE, key_id, wanted.overlap_seconds, ends)
    )
    return made_wire(made)
