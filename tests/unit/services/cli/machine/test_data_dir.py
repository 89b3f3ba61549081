"""One stack has a data directory at a time, and what must not outlive it is gone before and after."""

import fcntl
import os
import time

import pytest

from libs.errors import UserError
from services.cli.machine.data_dir import LOG_BYTES, REPORT, REPORT_KEPT_S, check_data_dir, occupied, put_long_log_aside

STREAMS = "nats/jetstream/$G/streams"


@pytest.fixture
def cut_off(tmp_path):
    """A data directory in which a replay was killed beside the list of a machine that runs for good."""
    kept = ["gallery/wanted.sface-2021dec/x", "gallery/replay-of-monday.sface-2021dec/x", f"{STREAMS}/ALERTS/x"]
    gone = ["gallery/replay-0123456789ab.sface-2021dec/x", f"{STREAMS}/KV_cameras/x",
            f"{STREAMS}/OBJ_reference-portraits/x"]  # fmt: skip
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
    return tmp_path, [tmp_path / name for name in kept], [tmp_path / name for name in gone]


def test_what_a_killed_replay_left_is_gone_when_the_next_stack_starts(cut_off):
    folder, kept, gone = cut_off
    with occupied(folder, "evaluation"):
        assert all(path.exists() for path in kept)
        assert not any(path.exists() for path in gone)


def test_what_a_stack_leaves_is_gone_when_it_has_ended(cut_off):
    folder, _, gone = cut_off
    with occupied(folder, "evaluation"):
        for path in gone:
            path.parent.mkdir(parents=True)
    assert not any(path.parent.exists() for path in gone)


def test_the_lists_of_a_platform_outlive_it_and_the_passwords_of_its_cameras_do_not(tmp_path):
    kept = [tmp_path / "gallery/wanted.sface-2021dec/x", tmp_path / STREAMS / "OBJ_reference-portraits/x"]
    cameras = tmp_path / STREAMS / "KV_cameras" / "x"
    for path in (*kept, cameras):
        path.parent.mkdir(parents=True)
        path.write_text("")
    with occupied(tmp_path, "platform"):
        assert not cameras.exists()
    assert all(path.exists() for path in kept)


def test_a_report_with_portraits_is_gone_with_the_next_stack_when_it_is_a_day_old(tmp_path):
    report = tmp_path / REPORT
    for age_s, stays in ((REPORT_KEPT_S - 60, True), (REPORT_KEPT_S + 60, False)):
        report.write_text("portraits")
        os.utime(report, (time.time() - age_s,) * 2)
        with occupied(tmp_path, "evaluation"):
            assert report.exists() == stays


def test_an_evaluation_never_runs_on_the_data_of_a_platform_nor_the_other_way_round(tmp_path):
    for number, (first, second) in enumerate([("platform", "evaluation"), ("evaluation", "platform")]):
        folder = tmp_path / str(number)
        with occupied(folder, first):
            pass
        with pytest.raises(UserError, match=f"holds the data of the {first}: choose another"), occupied(folder, second):
            pass
        with occupied(folder, first):
            pass  # the refusal has changed nothing, and the folder is free again


@pytest.mark.parametrize(
    ("purpose", "remedy"),
    [("platform", "choose another data_dir in watchline.toml"), ("evaluation", "choose another --data-dir")],
)
def test_a_folder_that_will_not_do_is_told_with_the_remedy_of_the_command(tmp_path, purpose, remedy):
    with (
        occupied(tmp_path, purpose),
        pytest.raises(UserError, match=rf"in use by process {os.getpid()}: {remedy}, or stop it"),
        occupied(tmp_path, purpose),
    ):
        pass
    with (
        pytest.raises(UserError, match=rf"cannot hold the data \(.*\): {remedy}"),
        occupied(tmp_path / "lock", purpose),
    ):
        pass


def test_a_folder_whose_note_is_no_text_is_somebody_elses(tmp_path):
    (tmp_path / "purpose").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="holds the data of"), occupied(tmp_path, "evaluation"):
        pass


def test_a_folder_is_free_again_when_its_stack_has_ended(tmp_path):
    with occupied(tmp_path, "platform"):
        pass
    with occupied(tmp_path, "platform"), (tmp_path / "lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_for_a_folder_is_refused(tmp_path):
    (tmp_path / "data").write_text("")
    for path in (tmp_path / "data", tmp_path / "data" / "deeper"):
        with pytest.raises(UserError, match="cannot hold the data"):
            check_data_dir(path, "evaluation")


def test_a_log_that_has_grown_long_is_put_aside_and_one_of_them_is_kept(tmp_path):
    log = tmp_path / "match.log"
    (tmp_path / "match.log.old").write_text("the one before")
    with log.open("wb") as file:
        file.truncate(LOG_BYTES + 1)
    put_long_log_aside(log)
    assert not log.exists()
    assert (tmp_path / "match.log.old").stat().st_size == LOG_BYTES + 1


def test_a_short_log_is_carried_on(tmp_path):
    log = tmp_path / "match.log"
    log.write_text("short")
    put_long_log_aside(log)
    put_long_log_aside(tmp_path / "none.log")
    assert log.read_text() == "short"
