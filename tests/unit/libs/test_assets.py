import functools
import hashlib
import http.server
import threading
import zipfile

import pytest

from libs.assets import Asset, AssetStore, Catalogue, load_catalogue
from libs.downloads import Package
from libs.errors import UserError

CONTENT = b"what the asset holds"


def no_progress(*_):
    pass


def asset(name="model", content=CONTENT, source=None):
    return Asset(
        name=name,
        version="1",
        file=f"{name}.bin",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        licence="MIT",
        source=source or {"kind": "operator"},
    )


def store(tmp_path, *entries, packages=None):
    catalogue = Catalogue(assets={entry.name: entry for entry in entries}, packages=packages or {})
    return AssetStore(tmp_path / "cache", tmp_path / "offline", catalogue)


def lay(path, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A package with two members that pip finds in a folder, with no index at all."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrier/first.bin", CONTENT)
        archive.writestr("carrier/second.bin", CONTENT * 2)
        archive.writestr("carrier-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        archive.writestr("carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("carrier-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return path


def packaged(tmp_path, wheel, first=CONTENT):
    source = {"kind": "package", "package": "carrier"}
    package = Package(
        name="carrier",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        size_bytes=wheel.stat().st_size,
    )
    entries = [
        asset("first", first, {**source, "member": "carrier/first.bin"}),
        asset("second", CONTENT * 2, {**source, "member": "carrier/second.bin"}),
    ]
    return store(tmp_path, *entries, packages={"carrier": package})


def test_every_entry_of_the_catalogue_has_a_source_that_exists():
    catalogue = load_catalogue()
    assert {"yunet-2023mar", "sface-2021dec", "single_face.jpg"} <= set(catalogue.assets)
    used = {entry.source.package for entry in catalogue.assets.values() if entry.source.kind == "package"}
    assert used == set(catalogue.packages)


def test_the_fetched_assets_are_found_and_sound(assets):
    for name, entry in assets.catalogue.assets.items():
        assert assets.path(name).stat().st_size == entry.size_bytes


def test_a_missing_asset_says_which_command_fetches_it(tmp_path):
    missing = store(tmp_path, asset(source={"kind": "url", "url": "http://127.0.0.1/model.bin"}))
    with pytest.raises(UserError, match="watchline assets fetch"):
        missing.path("model")


def test_a_wrong_hash_names_the_file_both_hashes_and_the_remedy(tmp_path):
    lay(tmp_path / "cache" / "assets" / "model.bin", b"something else")
    entry = asset(source={"kind": "url", "url": "http://127.0.0.1/model.bin"})
    with pytest.raises(UserError) as error:
        store(tmp_path, entry).path("model")
    assert "model.bin" in error.value.problem
    assert entry.sha256 in error.value.problem
    assert hashlib.sha256(b"something else").hexdigest() in error.value.problem
    assert "watchline assets fetch" in error.value.remedy


def test_an_asset_altered_after_it_was_loaded_is_refused_at_the_next_load(tmp_path):
    lay(tmp_path / "offline" / "model.bin")
    laid = store(tmp_path, asset())
    assert laid.path("model").read_bytes() == CONTENT
    lay(tmp_path / "offline" / "model.bin", CONTENT + b"!")
    with pytest.raises(UserError, match="sha256"):
        laid.path("model")


def test_a_file_laid_by_the_operator_goes_before_the_cache_and_needs_no_fetch(tmp_path, wheel):
    lay(tmp_path / "offline" / "first.bin")
    laid = packaged(tmp_path, wheel)
    wheel.unlink()
    laid.fetch(["first"], no_progress)
    assert laid.path("first").parent == tmp_path / "offline"


def test_a_wrong_file_laid_by_the_operator_is_not_silently_fetched_around(tmp_path, wheel):
    lay(tmp_path / "offline" / "first.bin", b"wrong")
    with pytest.raises(UserError, match="replace it by the right file"):
        packaged(tmp_path, wheel).fetch(["first"], no_progress)


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="choose from model"):
        store(tmp_path, asset()).path("modle")


def test_all_members_of_a_package_come_from_one_download(tmp_path, wheel):
    fetched, downloads = packaged(tmp_path, wheel), []
    fetched.fetch(["first", "second"], lambda *report: downloads.append(report))
    size = wheel.stat().st_size
    assert fetched.path("first").read_bytes() == CONTENT
    assert fetched.path("second").read_bytes() == CONTENT * 2
    assert {(name, total) for name, _, total in downloads} == {("carrier 1.0", size)}
    assert downloads[-1] == ("carrier 1.0", size, size)


def test_a_second_fetch_downloads_nothing(tmp_path, wheel):
    fetched, reports = packaged(tmp_path, wheel), []
    fetched.fetch(["first", "second"], no_progress)
    wheel.unlink()
    fetched.fetch(["first", "second"], lambda *report: reports.append(report))
    assert reports == []


def test_an_asset_damaged_in_the_cache_is_fetched_again(tmp_path, wheel):
    fetched = packaged(tmp_path, wheel)
    lay(tmp_path / "cache" / "assets" / "first.bin", b"half")
    fetched.fetch(["first"], no_progress)
    assert fetched.path("first").read_bytes() == CONTENT


def test_a_package_with_another_hash_is_refused_and_leaves_nothing(tmp_path, wheel):
    fetched = packaged(tmp_path, wheel)
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(UserError, match=r"carrier 1\.0"):
        fetched.fetch(["first"], no_progress)
    assert list((tmp_path / "cache").rglob("*.bin")) == []


def test_a_member_with_another_hash_is_refused_and_leaves_nothing(tmp_path, wheel):
    fetched = packaged(tmp_path, wheel, first=b"what the catalogue says")
    with pytest.raises(UserError, match="do not use it"):
        fetched.fetch(["first"], no_progress)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_failed_download_repeats_what_pip_said(tmp_path, wheel):
    fetched = packaged(tmp_path, wheel)
    wheel.unlink()
    with pytest.raises(UserError, match="No matching distribution"):
        fetched.fetch(["first"], no_progress)


def test_an_interrupted_fetch_leaves_nothing_half(tmp_path, wheel):
    def interrupt(*_):
        raise KeyboardInterrupt

    fetched = packaged(tmp_path, wheel)
    with pytest.raises(KeyboardInterrupt):
        fetched.fetch(["first"], interrupt)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


@pytest.fixture
def served(tmp_path):
    """A folder and the address under which it is served on the loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_url_is_fetched_with_progress(tmp_path, served):
    folder, address = served
    content = b"x" * 1_000_000
    (folder / "model.bin").write_bytes(content)
    fetched = store(tmp_path, asset(content=content, source={"kind": "url", "url": f"{address}/model.bin"}))
    reports = []
    fetched.fetch(["model"], lambda *report: reports.append(report))
    assert fetched.path("model").read_bytes() == content
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)
    assert len(reports) > 1
    assert reports[-1] == ("model", len(content), len(content))


def test_a_url_that_answers_not_found_is_one_clear_line(tmp_path, served):
    _, address = served
    fetched = store(tmp_path, asset(source={"kind": "url", "url": f"{address}/none.bin"}))
    with pytest.raises(UserError, match=r"cannot fetch .*none\.bin"):
        fetched.fetch(["model"], no_progress)


def test_a_url_of_another_scheme_is_no_source():
    with pytest.raises(ValueError, match="scheme"):
        asset(source={"kind": "url", "url": "file:///etc/passwd"})


def test_a_file_that_is_no_catalogue_is_refused(tmp_path):
    (tmp_path / "assets.toml").write_text("[assets.model]\nsha256 = 'short'\n")
    with pytest.raises(UserError, match="not a catalogue"):
        load_catalogue(tmp_path / "assets.toml")
