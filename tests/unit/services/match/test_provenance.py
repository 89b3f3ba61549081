"""What is written down of who is on a list, and what stays of it."""

from proto.watchlists import EntryRecord
from services.match.provenance import counts, stripped, with_image
from tests.governance_examples import ENTRY, ENTRY_FORM

(IMAGE,) = ENTRY.images
EMPTY = EntryRecord(watch_list="wanted", subject="S-1", images=())


def test_a_name_is_no_part_of_the_entry():
    form = ENTRY_FORM.model_copy(update={"name": "Jane Doe"})
    entry = with_image(EMPTY, form, IMAGE)
    assert "Jane Doe" not in entry.model_dump_json()
    assert entry.form == ENTRY_FORM


def test_what_is_left_of_an_entry_is_an_id_hashes_and_times():
    left = stripped(with_image(EMPTY, ENTRY_FORM, IMAGE), 1_700_000_500.0)
    (image,) = left.images
    assert (left.subject, left.form, left.removed_at) == ("S-1", None, 1_700_000_500.0)
    assert (image.sha256, image.reference, image.source, image.image_date, image.lawful_basis) == (
        IMAGE.sha256,
        "",
        "",
        "",
        "",
    )
    assert counts([left]).references == 0
