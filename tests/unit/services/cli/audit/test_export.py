"""An export of the audit is whole however its reasons are written."""

import pytest

from libs import chain
from libs.errors import UserError
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


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_what_somebody_else_wrote_into_the_stream_is_found_in_an_export_however_large_it_is(crew, tmp_path, form):
    path = tmp_path / "audit"
    path.write_text(export.opening(About(), form) + export.as_line(1, None, b"x" * 1_000_000, form))

    about, _, lines = export.open_export(path)

    (found,) = export.verify_export(about, lines, crew.govern.public).breaks
    assert (found.kind, found.sequence) == ("foreign", 1)


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"sequence": "' + "9" * 5000 + '"}', '{"sequence": ' + "9" * 5000 + "}"], ids=lambda _: ""
)
def test_a_line_of_an_export_that_no_program_wrote_is_found(crew, tmp_path, line):
    path = tmp_path / "audit"
    path.write_text(export.opening(About(), "jsonl") + line + "\n")

    about, _, lines = export.open_export(path)

    (found,) = export.verify_export(about, lines, crew.govern.public).breaks
    assert (found.kind, found.sequence) == ("foreign", 1)


@pytest.mark.parametrize("first", ["1e400", "9" * 5000, "[" * 100_000], ids=["infinite", "digits", "deep"])
def test_an_export_whose_first_line_is_damaged_is_named(tmp_path, first):
    path = tmp_path / "audit"
    path.write_text(f'{{"watchline_audit": 1, "deployment": "", "heads": [], "first": {first}}}\n')
    with pytest.raises(UserError, match=r"the first line of .* is damaged: export the audit again"):
        export.open_export(path)
