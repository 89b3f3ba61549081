"""An export of the audit is whole however its reasons are written."""

import pytest

from libs import chain
from proto import codec
from proto.audit import Deed
from proto.requests.audit import AuditRequest
from services.cli.audit import export
from services.cli.audit.export import About


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\n"], ids=ascii)
def test_a_reason_that_was_pasted_with_line_separators_breaks_no_export(crew, tmp_path, separator, form):
    digest, lines = chain.GENESIS, []
    for number in (1, 2):
        deed = Deed(who="d-green", verb="suspend", at=1.0, reason=f"camera moved{separator}see the note")
        asked = AuditRequest(
            id=f"deployment.x.{number}", event="deployment.suspended", deed=deed, deployment="x", record_version=number
        )
        entry = chain.following(asked, number, digest, float(number))
        data = codec.encode(crew.govern.seal(entry))
        digest = chain.digest(data)
        lines.append(export.as_line(number, entry, data, form))
    path = tmp_path / "audit"
    path.write_text(export.opening(About(), form) + "".join(lines), encoding="utf-8")

    about, count, read = export.open_export(path)
    verdict = export.verify_export(about, read, crew.govern.public)

    assert (count, verdict.whole, verdict.breaks) == (2, True, ())
