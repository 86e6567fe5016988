"""`penstock doctor`: what is wrong is found, and each problem comes with what to do about it."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock.cli import machine
from penstock.cli.main import app
from penstock.config import load
from penstock.knowledge.abstain import AppCalibration
from penstock.knowledge.calibrating import write_calibration
from penstock.storage.lock import FolderLock


@pytest.fixture(autouse=True)
def free_port(documents: Path) -> None:
    (documents / "penstock.toml").write_text("[server]\nport = 0\n")


def examine(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the findings by check; where there are several of a check, the worst."""
    result = CliRunner().invoke(app, ["doctor", str(path), "--json", *options])
    answer = json.loads(result.stdout)
    order = ["skip", "ok", "warn", "fail"]
    findings = sorted(answer["findings"], key=lambda finding: order.index(finding["state"]))
    assert answer["ok"] == (result.exit_code == 0)
    return result.exit_code, {finding["check"]: finding for finding in findings}


def test_engines_are_started_and_used(documents: Path, smollm2_file: Path, minilm_folder: Path) -> None:
    code, found = examine(documents)
    assert code == 0
    assert found["Encoder"]["detail"].startswith("all-minilm-l6-v2 started and answered in")
    assert found["Engine"]["detail"].startswith("models.default: smollm2-135m-instruct on openvino started")
    assert found["Model"]["detail"].startswith("smollm2-135m-instruct is here and whole")


def test_every_problem_says_what_to_do(documents: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PENSTOCK_CACHE", str(tmp_path / "nothing-here"))
    code, found = examine(documents)
    assert code == 0
    assert found["Model"]["state"] == "warn"
    assert found["Model"]["advice"] == "Fetch it: `penstock pull smollm2-135m-instruct`."
    assert found["Engines"]["state"] == "skip"
    assert all(finding["advice"] for finding in found.values() if finding["state"] in ("warn", "fail"))


def test_a_wrong_configuration_fails_with_its_line(documents: Path) -> None:
    (documents / "penstock.toml").write_text("[server]\nprot = 0\n")
    code, found = examine(documents, "--quick")
    assert code == 1
    assert "penstock.toml:2: server.prot is not a setting; did you mean 'port'?" in found["Configuration"]["detail"]
    assert found["Python"]["state"] == "ok"


def test_documents_are_counted_and_their_absence_fails(documents: Path) -> None:
    (documents / "picture.bmp").write_bytes(b"BM")
    _, found = examine(documents, "--quick")
    assert found["Documents"]["detail"] == "1 file in 'docs'; 1 other left out, such as picture.bmp"
    (documents / "returns.md").unlink()
    code, found = examine(documents, "--quick")
    assert code == 1
    assert found["Documents"]["detail"].startswith("There are no documents in")


def test_a_calibration_of_another_depth_is_warned_about(documents: Path) -> None:
    fitted = AppCalibration(
        threshold=0.2,
        shift=0.0,
        knowledge="docs",
        generation=1,
        embedder="e",
        answerable=20,
        unanswerable=20,
        fitted_us=1,
    )
    folder = load(documents)
    assert "Calibration" not in examine(documents, "--quick")[1]
    folder.data.mkdir(exist_ok=True)
    write_calibration(folder.data, fitted)
    assert examine(documents, "--quick")[1]["Calibration"]["state"] == "ok"
    with (documents / "penstock.toml").open("a") as file:
        file.write("[app]\npassages = 8\n")
    found = examine(documents, "--quick")[1]["Calibration"]
    assert (found["state"], found["detail"]) == (
        "warn",
        "of 'docs', fitted on the best 5 passages; the app looks at 8",
    )
    assert "penstock knowledge calibrate" in found["advice"]


def test_a_port_in_use_fails(documents: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (documents / "penstock.toml").write_text(f"[server]\nport = {port}\n")
        code, found = examine(documents, "--quick")
    assert code == 1
    assert found["Port"]["detail"] == f"Port {port} on 127.0.0.1 is in use."
    assert "--port" in found["Port"]["advice"]


def test_a_key_that_is_not_set_fails_and_one_that_is_stays_hidden(
    documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (documents / "penstock.toml").write_text('[server]\nport = 0\n[models.strong]\nuse = "openai/x"\n')
    code, found = examine(documents, "--quick")
    assert code == 1
    assert "OPENAI_API_KEY is not set" in found["Key"]["detail"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    code, found = examine(documents, "--quick")
    assert code == 0
    assert "OPENAI_API_KEY is set" in found["Key"]["detail"]
    assert "hidden" not in json.dumps(found)


def test_a_data_folder_in_use_fails_and_names_the_process(documents: Path) -> None:
    (documents / ".penstock").mkdir()
    with FolderLock(documents / ".penstock"):
        code, found = examine(documents, "--quick")
    assert code == 1
    assert "is in use by process" in found["Data"]["detail"]


@pytest.mark.parametrize(
    ("total", "limit", "used", "state"),
    [
        (8_000_000, "max", "0", "ok"),
        (1_500_000, "max", "0", "warn"),
        (500_000, "max", "0", "fail"),
        (8_000_000, str(2 << 30), str(1536 << 20), "fail"),
    ],
)
def test_memory_counts_what_a_container_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, limit: str, used: str, state: str
) -> None:
    for name, text in (
        ("MEMORY_INFO", f"MemTotal: 9999999 kB\nMemAvailable:    {total} kB\n"),
        ("CONTAINER_LIMIT", f"{limit}\n"),
        ("CONTAINER_USE", f"{used}\n"),
    ):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(machine, name, tmp_path / name)
    assert machine.check_memory().state == state


def test_a_processor_without_avx2_is_warned_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("processor: 0\nflags\t\t: fpu sse4_2 avx\n")
    assert machine.check_processor().state == "warn"
    (tmp_path / "cpuinfo").write_text("processor: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n")
    found = machine.check_processor()
    assert (found.state, found.detail.partition(", ")[2]) == ("ok", "AVX2, AVX-512, bf16")
