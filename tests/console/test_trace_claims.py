"""The claims of an answer on the page of its trace: what a composed answer recorded, shown beside its documents."""

from pathlib import Path

import msgspec
from support.grounding import RecordingTracer, asking, collected, documents, encoder

from penstock.console.claims import claims
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.base import EVERYTHING
from penstock.testing.provider import FakeProvider

ANSWER = "The Grand Valley Dam is 221 metres high. [1] It was painted in 1987. It “holds back Lake Ardor” [1]."


async def test_each_claim_stands_beside_what_supports_it(minilm_folder: Path, tmp_path: Path) -> None:
    async with encoder(minilm_folder) as embedder, documents(tmp_path, embedder) as base:
        settings = AnswerSettings(mode="compose", model="strong")
        app = GroundedApp("handbook", base, embedder, FakeProvider(ANSWER).answer, settings)
        tracer = RecordingTracer()
        text, grounding, _ = await collected(app, asking("How high is the Grand Valley Dam?", tracer=tracer))
        recorded = msgspec.json.decode(msgspec.json.encode(tracer.named("attribution").attributes))

        rows = list(claims(text, [{"hits": []}, recorded], base, EVERYTHING))
        height, painted, quotation = (row for row in rows if not row.text.startswith("It “"))
        assert height.text.startswith("The Grand Valley Dam is 221 metres high.")
        assert [place.source for place in height.places] == ["dam.txt · lines 1–3"]
        assert height.places[0].text in base.texts([(grounding.citations[0].document_id, 0, 10_000)], EVERYTHING)[0]
        assert (height.places[0].href or "").startswith("/knowledge/handbook/")
        assert (painted.text, painted.places) == ("It was painted in 1987.", ())
        assert (quotation.text, quotation.places[0].text) == ("“holds back Lake Ardor”", "holds back Lake Ardor")

        gone = list(claims(text, [recorded], None, EVERYTHING))
        assert [(place.source, place.href, place.text) for place in gone[0].places] == [
            ("dam.txt · lines 1–3", None, "")
        ]
        assert list(claims("", [recorded], base, EVERYTHING)) == []
        assert list(claims(text, [{"claims": "… [9 bytes cut]"}], base, EVERYTHING)) == []
