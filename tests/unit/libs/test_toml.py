"""A TOML file that will not do is one line that names it, whatever is wrong with it."""

import pytest

from libs.errors import UserError
from libs.toml import read_toml


def test_the_tables_of_a_file_are_read(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text('[door]\nname = "Tür"\n', encoding="utf-8")
    assert read_toml(path, "check the path") == {"door": {"name": "Tür"}}


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (b"= 3", "the roster is not TOML: "),
        (b"\xff\xfe", "the roster is not UTF-8: save it as UTF-8"),
        (b"a = " + b"[" * 5000, "the roster is not TOML: its values lie too deep in one another"),
        (b"a = " + b"9" * 5000, "the roster is not TOML: "),
    ],
    ids=["no TOML", "no UTF-8", "deep", "many digits"],
)
def test_a_file_that_holds_something_else_is_named(tmp_path, held, words):
    path = tmp_path / "one.toml"
    path.write_bytes(held)
    with pytest.raises(UserError, match=words):
        read_toml(path, "check the path", "the roster")


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.toml cannot be read \(No such file or directory\): check the path"):
        read_toml(tmp_path / "nothing.toml", "check the path")
