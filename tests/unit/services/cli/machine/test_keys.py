"""The key of govern is made once, whole, and where its owner alone can read it."""

import stat

import pytest

from libs.errors import UserError
from services.cli.machine.keys import govern_key_path, govern_signer


def test_the_key_is_made_once_and_read_by_its_owner_alone(tmp_path):
    first = govern_signer(tmp_path)
    assert govern_signer(tmp_path).public == first.public
    assert stat.S_IMODE(govern_key_path(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(govern_key_path(tmp_path).parent.stat().st_mode) == 0o700


def test_a_key_that_was_half_written_when_its_stack_was_killed_is_made_anew(tmp_path):
    path = govern_key_path(tmp_path)
    path.parent.mkdir()
    path.with_suffix(".new").write_text("ab")
    assert govern_signer(tmp_path).public == govern_signer(tmp_path).public
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_key_that_others_can_read_is_refused(tmp_path):
    govern_signer(tmp_path)
    govern_key_path(tmp_path).chmod(0o644)
    with pytest.raises(UserError, match="can be read by others than its owner"):
        govern_signer(tmp_path)
