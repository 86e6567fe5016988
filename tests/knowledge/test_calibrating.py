"""An app's own threshold: fitted on its questions, kept with what it was fitted on, refused with too few."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from support.grounding import asking, documents, encoder

from penstock.errors import ConfigError
from penstock.knowledge.abstain import AppCalibration, calibration
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.calibrating import (
    FEWEST,
    KEPT,
    Case,
    Golden,
    ask_all,
    calibration_for,
    fit,
    read_golden,
    write_calibration,
)
from penstock.models.encoders.sentence import SentenceEncoder

ABOUT = AppCalibration(
    threshold=0.0,
    shift=0.0,
    knowledge="docs",
    generation=3,
    embedder="minilm",
    answerable=0,
    unanswerable=0,
    fitted_us=1,
)
SHARES = st.lists(st.floats(0.001, 0.999), min_size=FEWEST, max_size=40)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


def cases(answerable: list[float], unanswerable: list[float]) -> list[Case]:
    return [Case("q", True, each) for each in answerable] + [Case("q", False, each) for each in unanswerable]


def test_questions_that_lie_apart_are_told_apart() -> None:
    fitted = fit(cases([0.3 + at / 100 for at in range(30)], [at / 200 for at in range(30)]), ABOUT)
    assert (fitted.chosen.recall, fitted.chosen.kept, fitted.chosen.precision) == (1.0, 1.0, 1.0)
    assert fitted.shipped.kept == 1.0
    assert fitted.shipped.recall == 1.0
    assert (fitted.calibration.answerable, fitted.calibration.unanswerable) == (30, 30)
    assert fitted.calibration.generation == 3
    assert fitted.calibration.shift > 0
    assert [step.threshold for step in fitted.table] == [round(at / 10, 2) for at in range(11)]


@given(SHARES, SHARES)
def test_most_answerable_questions_stay_answered(answerable: list[float], unanswerable: list[float]) -> None:
    fitted = fit(cases(answerable, unanswerable), ABOUT)
    assert fitted.chosen.kept >= KEPT
    assert 0 <= fitted.calibration.threshold <= 1
    recalls = [step.recall for step in fitted.table]
    assert recalls == sorted(recalls)


def test_too_few_questions_are_refused_with_both_numbers() -> None:
    with pytest.raises(ConfigError, match=r"19 answerable questions are too few .* 20 are needed"):
        fit(cases([0.9] * 19, [0.1] * 30), ABOUT)
    with pytest.raises(ConfigError, match="0 unanswerable questions are too few"):
        fit(cases([0.9] * 30, []), ABOUT)


def test_questions_are_read_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "golden.jsonl"
    file.write_text('{"question": "a?", "documents": ["b.md"]}\n\n{"question": "c?", "answerable": false}\n')
    assert read_golden(file) == (
        Golden(question="a?", documents=("b.md",)),
        Golden(question="c?", answerable=False),
    )
    file.write_text('{"question": "a?"}\n{"answer": "b"}\n')
    with pytest.raises(ConfigError, match=r"golden\.jsonl, line 2: .*question"):
        read_golden(file)
    with pytest.raises(ConfigError, match=r"there are no questions at .*none\.jsonl"):
        read_golden(tmp_path / "none.jsonl")


def test_what_was_fitted_is_kept_for_its_encoder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert calibration_for(tmp_path, "docs", "minilm", 5) is None
    file = write_calibration(tmp_path, ABOUT)
    assert calibration_for(tmp_path, "docs", "minilm", 5) == ABOUT
    assert caplog.text == ""
    assert calibration_for(tmp_path, "docs", "minilm", 10) == ABOUT
    assert "fitted on the best 5 passages, the app looks at 10" in caplog.text
    assert calibration_for(tmp_path, "docs", "another", 5) is None
    assert "fitted with another encoder" in caplog.text
    file.write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        calibration_for(tmp_path, "docs", "minilm", 5)


def test_the_threshold_is_the_configured_one_else_the_fitted_else_the_one_that_ships() -> None:
    fitted = AppCalibration(**{name: getattr(ABOUT, name) for name in ABOUT.__struct_fields__} | {"threshold": 0.4})
    assert AnswerSettings().least == calibration().threshold
    assert AnswerSettings(fitted=fitted).least == 0.4
    assert AnswerSettings(fitted=fitted, threshold=0.9).least == 0.9


@pytest.mark.asyncio(loop_scope="module")
async def test_a_question_is_less_answered_without_its_document(embedder: SentenceEncoder, tmp_path: Path) -> None:
    questions = [
        Golden(question="How high is the Grand Valley Dam?"),
        Golden(question="Who won?", answerable=False),
    ]
    async with documents(tmp_path, embedder) as base:
        app = GroundedApp("handbook", base, embedder, None, AnswerSettings(fitted=ABOUT))
        asked = await ask_all(app, questions, asking())
    assert [case.answerable for case in asked] == [True, False, False]
    assert asked[0].probability > 2 * asked[1].probability
