"""Keys of officers and of govern: each its own file, never overwritten, and a roster that can be read."""

import re
import stat
import tomllib

import pytest
import typer
from typer.testing import CliRunner

from libs.errors import UserError
from libs.officers import read_officers
from libs.seals import Signer
from services.cli.officers import commands


@pytest.fixture
def run(tmp_path, monkeypatch, wide):
    """Runs `watchline officer …` or `watchline keys …` with a folder of its own for keys."""
    monkeypatch.setenv("WATCHLINE_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("WATCHLINE_TRUST_OFFICERS", str(tmp_path / "officers.toml"))
    monkeypatch.setenv("WATCHLINE_GOVERN_KEY", str(tmp_path / "govern.key"))
    app = typer.Typer()
    app.add_typer(commands.app, name="officer")
    app.command("keys")(commands.keys)

    def invoke(*arguments):
        done = CliRunner().invoke(app, arguments)
        if isinstance(done.exception, UserError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return invoke


def test_an_officer_gets_a_key_and_a_table_for_the_roster(run, tmp_path):
    told = run("officer", "new", "a-jones", "--role", "drafter", "--role", "operator", "--rank", "inspector")
    (table,) = tomllib.loads(told)["officers"].values()
    key = tmp_path / "keys" / "a-jones.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert table["public_key"] == str(Signer.load("a-jones", key).public)
    assert (table["roles"], table["rank"]) == (["drafter", "operator"], "inspector")
    assert "profiles" not in table


def test_whoever_keeps_the_roster_can_write_it_there(run, tmp_path):
    roster = tmp_path / "officers.toml"
    run("officer", "new", "a-jones", "--role", "drafter", "--roster", str(roster))
    run("officer", "new", "b.smith", "--role", "authoriser", "--profile", "evaluation", "--roster", str(roster))
    officers = read_officers(roster)
    assert sorted(officers) == ["a-jones", "b.smith"]
    assert officers["b.smith"].profiles == {"evaluation"}
    assert officers["b.smith"].roles == {"authoriser"}
    listed = run("officer", "list")
    assert re.search(r"a-jones +drafter +all", listed)
    assert re.search(r"b\.smith +authoriser +evaluation", listed)


def test_a_key_is_never_overwritten_and_a_name_never_given_twice(run, tmp_path):
    roster = str(tmp_path / "officers.toml")
    run("officer", "new", "a-jones", "--role", "drafter", "--roster", roster)
    before = (tmp_path / "keys" / "a-jones.key").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        run("officer", "new", "a-jones", "--role", "drafter")
    with pytest.raises(UserError, match="is on the roster"):
        run("officer", "new", "a-jones", "--role", "drafter", "--roster", roster)
    assert (tmp_path / "keys" / "a-jones.key").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("A Jones", "--role", "drafter"), "cannot name an officer"),
        (("../jones", "--role", "drafter"), "cannot name an officer"),
        (("govern", "--role", "drafter"), "is the program of that name"),
        (("a-jones", "--role", "chief"), "there is no role 'chief'"),
        (("a-jones", "--role", "drafter", "--rank", 'x"\nroles = ["commander"]'), "will not do"),
        (("a-jones", "--role", "drafter", "--rank", "{public_key}"), "will not do"),
    ],
)
def test_bad_words_make_no_key(run, tmp_path, arguments, words):
    with pytest.raises(UserError, match=re.escape(words)):
        run("officer", "new", *arguments)
    assert not (tmp_path / "keys").exists()


def test_a_roster_that_is_not_there_is_one_line(run):
    with pytest.raises(UserError, match="cannot be read"):
        run("officer", "list")


def test_the_keys_of_govern_are_a_private_file_and_a_line_for_all_programs(run, tmp_path):
    told = run("keys")
    path = tmp_path / "govern.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert told == f"WATCHLINE_TRUST_PUBLIC_KEY={Signer.load('govern', path).public}\n"
    with pytest.raises(UserError, match="exists already"):
        run("keys")
    run("keys", "--key", str(tmp_path / "other.key"))


def test_the_keys_of_govern_never_go_into_a_folder_that_is_not_there(run, tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*elsewhere: make it"):
        run("keys", "--key", str(tmp_path / "elsewhere" / "govern.key"))
    assert not (tmp_path / "elsewhere").exists()
