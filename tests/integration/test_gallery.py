"""One contract for the gallery on both engines, held against brute-force numpy; then what each engine adds.

The server side runs over `tests/qdrant_rest.py` (read there what that proves), and over a real Qdrant server
too where WATCHLINE_TEST_QDRANT_URL (and WATCHLINE_TEST_QDRANT_API_KEY) name one.
"""

import asyncio
import os
import re
import socket
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from libs.errors import PermanentError, TransientError, UserError
from libs.gallery import (
    Candidate,
    GallerySettings,
    Reference,
    ReferenceEntry,
    UnknownWatchListError,
    open_gallery,
)
from libs.gallery.contract import collection_name
from tests.qdrant_rest import qdrant_peer

D = 128
REAL_SERVER = os.environ.get("WATCHLINE_TEST_QDRANT_URL")
ENGINES = ["edge", "peer", *(["server"] if REAL_SERVER else [])]


def unit_templates(count, seed=0, dimension=D):
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def reference(subject, number, template, version="sface-1"):
    return Reference(subject, f"{subject}/{number}", template, version, enrolled_at=1_700_000_000.5)


def one_each(templates, version="sface-1"):
    return [reference(f"s{row:06d}", 0, template, version) for row, template in enumerate(templates)]


@pytest.fixture(scope="module")
def peer_url(tmp_path_factory):
    with qdrant_peer(tmp_path_factory.mktemp("peer")) as url:
        yield url


@pytest.fixture(params=ENGINES)
async def gallery(request, tmp_path):
    settings = GallerySettings("sface-1", D, tmp_path / "gallery")
    if request.param == "peer":
        settings = replace(settings, url=request.getfixturevalue("peer_url"))
    elif request.param == "server":
        key = os.environ.get("WATCHLINE_TEST_QDRANT_API_KEY")
        settings = replace(settings, url=REAL_SERVER, api_key=key, timeout_s=30)
    opened = open_gallery(settings)
    yield opened
    for watch_list in await opened.watch_lists():
        await opened.drop(watch_list)
    await opened.close()


@pytest.fixture
def edge(tmp_path):
    return GallerySettings("sface-1", D, tmp_path / "gallery")


# The contract of both engines


async def test_two_thousand_references_are_ranked_and_scored_as_by_numpy(gallery):
    templates = unit_templates(2000)
    probes = unit_templates(40, seed=1) * np.float32(7.5)  # a probe need not be of unit length
    await gallery.create("wanted")
    await gallery.enrol("wanted", one_each(templates))
    found = await gallery.search(["wanted"], probes, 10)
    scores = probes.astype(float) @ templates.T.astype(float) / np.linalg.norm(probes, axis=1, keepdims=True)
    order = np.argsort(-scores, axis=1)[:, :10]
    assert [[c.subject for c in row] for row in found] == [[f"s{i:06d}" for i in row] for row in order]
    np.testing.assert_allclose(
        [[c.score for c in row] for row in found], np.take_along_axis(scores, order, axis=1), atol=1e-5
    )


async def test_an_empty_list_gives_no_candidates(gallery):
    await gallery.create("wanted")
    assert await gallery.search(["wanted"], unit_templates(3), 5) == [[], [], []]
    assert await gallery.count("wanted") == 0
    assert await gallery.references("wanted") == []


async def test_no_probes_give_no_rows(gallery):
    await gallery.create("wanted")
    assert await gallery.search(["wanted"], unit_templates(0), 5) == []


async def test_a_small_list_gives_all_its_subjects_when_more_are_asked_for(gallery):
    await gallery.create("wanted")
    await gallery.enrol("wanted", one_each(unit_templates(3)))
    (row,) = await gallery.search(["wanted"], unit_templates(1, seed=1), 100)
    assert sorted(c.subject for c in row) == ["s000000", "s000001", "s000002"]


async def test_a_list_that_was_not_created_is_named_in_the_error(gallery):
    template = unit_templates(1)
    for call in (
        gallery.search(["nobody"], template, 1),
        gallery.enrol("nobody", one_each(template)),
        gallery.remove("nobody", "s000000"),
        gallery.count("nobody"),
        gallery.references("nobody"),
        gallery.duplicates("nobody", [], 0.5, 1),
        gallery.drop("nobody"),
    ):
        with pytest.raises(UnknownWatchListError, match="no watch list 'nobody'"):
            await call


async def test_a_bad_list_name_is_refused(gallery):
    for name in ("", "Wanted", "a b", "a/b", "..", "-a", "a.b", "a" * 64):
        with pytest.raises(UserError, match="cannot name a watch list"):
            await gallery.create(name)


async def test_creating_a_list_again_keeps_its_references(gallery):
    await gallery.create("wanted")
    await gallery.enrol("wanted", one_each(unit_templates(2)))
    await gallery.create("wanted")
    assert await gallery.count("wanted") == 2
    assert await gallery.watch_lists() == ["wanted"]


async def test_enrolling_a_reference_again_replaces_its_template(gallery):
    old, new = unit_templates(2)
    await gallery.create("wanted")
    await gallery.enrol("wanted", [reference("a", 1, old)])
    await gallery.enrol("wanted", [reference("a", 1, new)])
    assert await gallery.count("wanted") == 1
    (row,) = await gallery.search(["wanted"], new[np.newaxis], 5)
    assert row == [Candidate("wanted", "a", "a/1", pytest.approx(1.0, abs=1e-5))]


async def test_the_last_of_the_same_reference_in_one_enrolment_counts(gallery):
    old, new = unit_templates(2)
    await gallery.create("wanted")
    await gallery.enrol("wanted", [reference("a", 1, old), reference("a", 1, new)])
    (row,) = await gallery.search(["wanted"], new[np.newaxis], 5)
    assert [c.score for c in row] == pytest.approx([1.0], abs=1e-5)


async def test_a_subject_with_many_references_is_one_candidate_and_hides_nobody(gallery):
    probe, other = unit_templates(2)
    close = unit_templates(60, seed=5) * np.float32(0.05) + probe  # sixty references nearer than anyone else's
    await gallery.create("wanted")
    await gallery.enrol("wanted", [reference("many", i, template) for i, template in enumerate(close)])
    await gallery.enrol("wanted", [reference("lone", 0, other), reference("third", 0, -probe)])
    (row,) = await gallery.search(["wanted"], probe[np.newaxis], 3)
    best = int(np.argmax(close @ probe / np.linalg.norm(close, axis=1)))
    assert [c.subject for c in row] == ["many", "lone", "third"]
    assert row[0].reference == f"many/{best}"


async def test_lists_searched_together_give_the_best_over_all_of_them(gallery):
    near, far, probe_only = unit_templates(3)
    for watch_list in ("missing", "wanted"):
        await gallery.create(watch_list)
    await gallery.enrol("missing", [reference("a", 1, near), reference("b", 1, far)])
    await gallery.enrol("wanted", [reference("a", 1, near), reference("c", 1, probe_only)])
    (row,) = await gallery.search(["wanted", "missing", "wanted"], near[np.newaxis], 2)
    assert [(c.watch_list, c.subject) for c in row] == [("missing", "a"), ("wanted", "a")]
    (row,) = await gallery.search(["missing"], probe_only[np.newaxis], 9)
    assert {c.subject for c in row} == {"a", "b"}


async def test_a_removed_subject_is_not_found_and_not_counted(gallery):
    templates = unit_templates(4)
    await gallery.create("wanted")
    await gallery.enrol("wanted", [reference("gone", i, row) for i, row in enumerate(templates[:3])])
    await gallery.enrol("wanted", [reference("stays", 0, templates[3])])
    assert await gallery.remove("wanted", "gone") == 3
    assert await gallery.remove("wanted", "gone") == 0
    (row,) = await gallery.search(["wanted"], templates[:1], 5)
    assert [c.subject for c in row] == ["stays"]
    assert await gallery.references("wanted") == [ReferenceEntry("stays", "stays/0", 1_700_000_000.5)]


async def test_a_dropped_list_is_unknown_and_comes_back_empty(gallery):
    await gallery.create("wanted")
    await gallery.create("other")
    await gallery.enrol("wanted", one_each(unit_templates(5)))
    await gallery.enrol("other", one_each(unit_templates(1)))
    await gallery.drop("wanted")
    with pytest.raises(UnknownWatchListError):
        await gallery.search(["wanted"], unit_templates(1), 1)
    await gallery.create("wanted")
    assert await gallery.count("wanted") == 0
    assert await gallery.count("other") == 1


async def test_a_listing_longer_than_a_page_is_complete(gallery):
    await gallery.create("wanted")
    await gallery.enrol("wanted", one_each(unit_templates(1203)))
    assert [entry.subject for entry in await gallery.references("wanted")] == [f"s{i:06d}" for i in range(1203)]


BAD_TEMPLATES = {
    "another dimension": np.ones(64, np.float32),
    "float64": np.ones(D),
    "a matrix": np.ones((2, D), np.float32),
    "not a number": np.full(D, np.nan, np.float32),
    "infinite": np.full(D, np.inf, np.float32),
    "overflowing": np.full(D, 3e38, np.float32),
    "zero": np.zeros(D, np.float32),
}


@pytest.mark.parametrize("template", BAD_TEMPLATES.values(), ids=BAD_TEMPLATES)
async def test_a_bad_template_is_refused_before_anything_is_stored(gallery, template):
    good = unit_templates(1)[0]
    await gallery.create("wanted")
    with pytest.raises(PermanentError, match=r"^(a )?template"):
        await gallery.enrol("wanted", [reference("a", 1, good), reference("b", 1, template)])
    assert await gallery.count("wanted") == 0
    with pytest.raises(PermanentError, match=r"^(a )?template"):
        await gallery.search(["wanted"], template[np.newaxis], 1)


async def test_a_template_of_another_model_is_refused(gallery):
    await gallery.create("wanted")
    with pytest.raises(PermanentError, match="'arcface-2' cannot go into a gallery of 'sface-1'"):
        await gallery.enrol("wanted", one_each(unit_templates(1), version="arcface-2"))


async def test_searches_during_enrolments_and_removals_always_find_who_stays(gallery):
    templates = unit_templates(400)
    await gallery.create("wanted")
    await gallery.enrol("wanted", one_each(templates[:1]))

    async def come_and_go(start):
        for row in range(start, start + 33):
            await gallery.enrol("wanted", [reference(f"t{row}", 0, templates[row])])
        return await gallery.remove("wanted", f"t{start}")

    async def look():
        rows = [await gallery.search(["wanted"], templates[:1], 3) for _ in range(25)]
        return [row[0][0].subject for row in rows]

    *removed, seen, seen_too = await asyncio.gather(*map(come_and_go, (100, 200, 300)), look(), look())
    assert removed == [1, 1, 1]
    assert set(seen + seen_too) == {"s000000"}
    assert await gallery.count("wanted") == 1 + 3 * 32


async def test_two_lists_of_equal_scores_come_in_the_same_order_every_time(gallery):
    template = unit_templates(1)
    await gallery.create("wanted")
    await gallery.enrol("wanted", [reference(f"twin{i}", 0, template[0]) for i in (2, 0, 3, 1)])
    (row,) = await gallery.search(["wanted"], template, 4)
    assert [c.subject for c in row] == ["twin0", "twin1", "twin2", "twin3"]


async def test_only_the_references_that_are_named_are_discarded(gallery):
    templates = unit_templates(4)
    await gallery.create("wanted")
    await gallery.enrol("wanted", [reference("a", i, row) for i, row in enumerate(templates)])
    assert await gallery.discard("wanted", ["a/1", "a/3", "nobody/0"]) == 2
    assert [entry.reference for entry in await gallery.references("wanted")] == ["a/0", "a/2"]
    assert await gallery.discard("wanted", []) == 0
    with pytest.raises(UnknownWatchListError):
        await gallery.discard("nobody", ["a/1"])


# Possible duplicates


def crowd(people, images, noise, seed):
    """`images` templates of each of `people` persons, alike as far as `noise` lets them: (people, images, d)."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(people, 1, D)) + noise * random.normal(size=(people, images, D))
    return (rows / np.linalg.norm(rows, axis=2, keepdims=True)).astype(np.float32)


def pairs_by_numpy(lists, of, threshold):
    """The best score of every pair over the threshold, by going through all pairs of references."""
    best = {}
    for other in lists:
        for subject, template in lists[of]:
            for other_subject, other_template in lists[other]:
                if other == of and subject >= other_subject:
                    continue
                score = float(np.dot(template.astype(float), other_template.astype(float)))
                key = (subject, other, other_subject)
                if score >= threshold:
                    best[key] = max(score, best.get(key, -2.0))
    return sorted(best.items(), key=lambda pair: -pair[1])


async def enrolled(gallery, lists):
    for name, rows in lists.items():
        await gallery.create(name)
        await gallery.enrol(name, [reference(subject, i, row) for i, (subject, row) in enumerate(rows)])


async def test_pairs_who_may_be_one_person_are_those_that_numpy_finds(gallery):
    people = crowd(40, 3, 0.9, seed=4)
    wanted = [(f"s{i:02}", row) for i in range(30) for row in people[i, :2]]
    wanted += [(f"again{i:02}", people[i, 2]) for i in range(5)]  # under a second number
    missing = [(f"m{i:02}", people[i, 2]) for i in range(25, 40)]  # five of whom are wanted too
    lists = {"wanted": wanted, "missing": missing}
    await enrolled(gallery, lists)
    found = await gallery.duplicates("wanted", ["missing"], 0.3, 1000)
    expected = pairs_by_numpy(lists, "wanted", 0.3)
    assert len(expected) >= 10
    assert [(pair.subject, pair.other_list, pair.other_subject) for pair in found] == [key for key, _ in expected]
    np.testing.assert_allclose([pair.score for pair in found], [score for _, score in expected], atol=1e-5)
    assert {pair.watch_list for pair in found} == {"wanted"}


async def test_a_person_of_the_same_number_on_another_list_is_a_pair_and_on_the_same_list_is_none(gallery):
    (template,) = unit_templates(1)
    await enrolled(gallery, {"wanted": [("a", template), ("a", template)], "missing": [("a", template)]})
    (pair,) = await gallery.duplicates("wanted", ["missing", "wanted"], 0.9, 10)
    assert (pair.subject, pair.other_list, pair.other_subject) == ("a", "missing", "a")
    assert pair.score == pytest.approx(1.0, abs=1e-5)


async def test_no_person_with_many_images_hides_another_pair(gallery):
    probe, other = unit_templates(2)
    close = unit_templates(700, seed=5) * np.float32(0.05) + probe
    close = close / np.linalg.norm(close, axis=1, keepdims=True)
    rows = [("many", row) for row in close] + [("twin1", other), ("twin2", other)]
    await enrolled(gallery, {"wanted": rows})
    found = await gallery.duplicates("wanted", [], 0.9, 10)
    assert [(pair.subject, pair.other_subject) for pair in found] == [("twin1", "twin2")]


async def test_of_too_many_pairs_the_most_alike_are_told(gallery):
    templates = crowd(1, 120, 0.3, seed=6)[0]
    lists = {"wanted": [(f"s{i:03}", row) for i, row in enumerate(templates)]}
    await enrolled(gallery, lists)
    found = await gallery.duplicates("wanted", [], -1.0, 25)
    expected = pairs_by_numpy(lists, "wanted", -1.0)[:25]
    np.testing.assert_allclose([pair.score for pair in found], [score for _, score in expected], atol=1e-5)


async def test_an_empty_list_holds_no_pairs_and_an_unknown_one_is_named(gallery):
    await gallery.create("wanted")
    assert await gallery.duplicates("wanted", [], 0.5, 10) == []
    with pytest.raises(UnknownWatchListError):
        await gallery.duplicates("nobody", [], 0.5, 10)


# Enrolments that share their way to the disk


# The embedded engine: durability, ownership, erasure, damage


def files_holding(directory, template):
    """Names of the files in which a part of the template stands, in either byte order."""
    parts = [template[:16], template[-16:]]
    needles = [part.astype(order).tobytes() for part in parts for order in ("<f4", ">f4")]
    files = [path for path in Path(directory).rglob("*") if path.is_file()]
    return [path.name for path in files if any(needle in path.read_bytes() for needle in needles)]


async def filled(settings, templates):
    gallery = open_gallery(settings)
    await gallery.create("wanted")
    await gallery.enrol("wanted", one_each(templates))
    return gallery


async def test_a_reopened_directory_holds_what_was_enrolled(edge):
    templates = unit_templates(300)
    gallery = await filled(edge, templates)
    await gallery.remove("wanted", "s000007")
    await gallery.close()
    gallery = open_gallery(edge)
    assert await gallery.count("wanted") == 299
    rows = await gallery.search(["wanted"], templates, 1)
    assert [row[0].subject for i, row in enumerate(rows) if i != 7] == [f"s{i:06d}" for i in range(300) if i != 7]
    await gallery.close()


ENDLESS_ENROLMENT = """
import asyncio, sys
from pathlib import Path
import numpy as np
from libs.gallery import GallerySettings, Reference, open_gallery

def template(seed):
    row = np.random.default_rng(seed).normal(size=(1, 128))
    return (row / np.linalg.norm(row, axis=1, keepdims=True)).astype(np.float32)[0]

async def enrol_for_ever(directory, number):
    gallery = open_gallery(GallerySettings("sface-1", 128, Path(directory)))
    await gallery.create("wanted")
    while True:
        subject = f"k{number}"
        await gallery.enrol("wanted", [Reference(subject, subject + "/0", template(number), "sface-1", 1.0)])
        print("enrolled", subject, flush=True)
        if number % 3 == 0:
            await gallery.remove("wanted", subject)
            print("removed", subject, flush=True)
        number += 1

asyncio.run(enrol_for_ever(sys.argv[1], int(sys.argv[2])))
"""


def killed_while_enrolling(directory, first, lines):
    """What a process acknowledged, line by line, before SIGKILL hit it in the middle of its work."""
    command = [sys.executable, "-c", ENDLESS_ENROLMENT, str(directory), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.readlines()
    assert child.returncode == -9
    return [line.split() for line in said]


async def test_what_was_enrolled_survives_kill_9_and_what_was_removed_stays_away(edge):
    enrolled, removed = set(), set()
    for life, lines in enumerate((5, 12, 21)):
        said = killed_while_enrolling(edge.directory, 1000 * life, lines)
        enrolled |= {subject for verb, subject in said if verb == "enrolled"}
        removed |= {subject for verb, subject in said if verb == "removed"}
        in_hand = {said[-1][1]} if said[-1][0] == "enrolled" else set()  # its removal may have happened unsaid
        gallery = open_gallery(edge)
        here = {entry.subject for entry in await gallery.references("wanted")}
        assert enrolled - removed - in_hand <= here
        assert not here & removed
        enrolled -= in_hand
        for subject in sorted(here):
            template = unit_templates(1, seed=int(subject[1:]))
            (row,) = await gallery.search(["wanted"], template, 1)
            assert row == [Candidate("wanted", subject, f"{subject}/0", pytest.approx(1.0, abs=1e-5))]
        for subject in removed:
            assert not files_holding(edge.directory, unit_templates(1, seed=int(subject[1:]))[0])
        await gallery.close()


async def test_a_second_owner_is_told_which_process_has_the_directory(edge):
    gallery = open_gallery(edge)
    with pytest.raises(UserError, match=f"already open by process {os.getpid()}"):
        open_gallery(edge)
    await gallery.close()
    await open_gallery(edge).close()


async def test_a_directory_of_something_else_is_refused_and_left_alone(edge):
    edge.directory.mkdir()
    (edge.directory / "holiday.txt").write_text("photos")
    with pytest.raises(UserError, match=r"not a Watchline gallery \(it holds holiday.txt\)"):
        open_gallery(edge)
    assert [path.name for path in edge.directory.iterdir()] == ["holiday.txt"]


async def test_a_directory_that_cannot_be_made_is_a_clear_error(edge, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be used"):
        open_gallery(replace(edge, directory=tmp_path / "file" / "gallery"))


def opened_or_refused(settings):
    try:
        return open_gallery(settings)
    except UserError as error:
        return error


@pytest.mark.parametrize(
    "damage",
    [
        "mutable_id_tracker.mappings",
        "edge_config.json",
        "chunk_0.mmap",
        "page_0.dat",
        "status.dat",
        "segment.json",
    ],
)
async def test_a_damaged_list_is_never_opened_with_references_missing(edge, damage):
    await (await filled(edge, unit_templates(50))).close()
    for path in edge.directory.rglob(damage):
        path.write_bytes(path.read_bytes()[:10])
    opened = opened_or_refused(edge)
    if isinstance(opened, UserError):
        assert "cannot be opened" in opened.problem
        assert "restore" in opened.remedy
        return
    assert len(await opened.references("wanted")) == 50
    rows = await opened.search(["wanted"], unit_templates(50), 1)
    assert [row[0].subject for row in rows] == [f"s{i:06d}" for i in range(50)]
    await opened.close()


async def test_a_lost_id_table_is_noticed_though_the_engine_opens_it(edge):
    await (await filled(edge, unit_templates(50))).close()
    (table,) = edge.directory.rglob("mutable_id_tracker.mappings")
    table.unlink()
    with pytest.raises(UserError, match="50 references were stored, 0 can be read"):
        open_gallery(edge)


async def test_lists_of_another_template_version_stay_apart(edge):
    await (await filled(edge, unit_templates(3))).close()
    other = open_gallery(replace(edge, template_version="arcface-2", dimension=64))
    assert await other.watch_lists() == []
    await other.create("wanted")
    await other.close()
    first = open_gallery(edge)
    assert await first.count("wanted") == 3
    await first.close()


async def test_another_dimension_under_the_same_version_is_refused(edge):
    await (await filled(edge, unit_templates(3))).close()
    with pytest.raises(UserError, match=r"expected vector size 64.*another model.*|new version name"):
        open_gallery(replace(edge, dimension=64))


def test_a_bad_template_version_is_refused(edge):
    with pytest.raises(UserError, match="cannot name a template version"):
        open_gallery(replace(edge, template_version="../sface"))


async def test_removed_templates_are_in_no_file_of_the_directory(edge):
    templates = unit_templates(200)
    gallery = await filled(edge, templates)
    assert files_holding(edge.directory, templates[5])
    await gallery.remove("wanted", "s000005")
    assert not files_holding(edge.directory, templates[5])
    assert files_holding(edge.directory, templates[6])
    await gallery.close()
    assert not files_holding(edge.directory, templates[5])


async def test_replaced_templates_are_in_no_file_of_the_directory(edge):
    old, new = unit_templates(2)
    gallery = await filled(edge, unit_templates(50, seed=3))
    await gallery.enrol("wanted", [reference("a", 1, old)])
    await gallery.enrol("wanted", [reference("a", 1, new)])
    assert not files_holding(edge.directory, old)
    assert files_holding(edge.directory, new)
    await gallery.close()


async def test_a_dropped_list_leaves_nothing_in_the_directory(edge):
    templates = unit_templates(20)
    gallery = await filled(edge, templates)
    await gallery.drop("wanted")
    assert sorted(path.name for path in edge.directory.iterdir()) == ["lock", "watchline-gallery"]
    await gallery.close()


async def test_what_a_crash_left_half_done_is_finished_when_the_directory_is_opened(edge):
    templates = unit_templates(30)
    await (await filled(edge, templates)).close()
    name = collection_name("wanted", "sface-1")
    (edge.directory / name).rename(edge.directory / f"{name}.retired")  # between the two renames of a rewrite
    (edge.directory / f"{name}.building").mkdir()
    (edge.directory / f"{name}.dropped").mkdir()
    gallery = open_gallery(edge)
    assert await gallery.count("wanted") == 30
    assert {path.name for path in edge.directory.iterdir()} == {name, "lock", "watchline-gallery"}
    await gallery.close()


async def test_a_large_list_is_indexed_while_searches_go_on_and_still_forgets(edge):
    settings = replace(edge, exact_up_to=1000, dimension=16)
    templates = unit_templates(4000, dimension=16)
    probes = templates[:200] + unit_templates(200, seed=1, dimension=16) * np.float32(0.3)
    gallery = await filled(settings, templates[:1000])
    building = asyncio.create_task(gallery.enrol("wanted", one_each(templates)))
    answered = 0
    while not building.done():
        (row,) = await gallery.search(["wanted"], templates[:1], 1)
        assert row[0].subject == "s000000"
        answered += 1
    await building
    assert answered > 1
    found = await gallery.search(["wanted"], probes, 1)
    exact = np.argmax(probes @ templates.T, axis=1)
    recall = np.mean([row[0].subject == f"s{i:06d}" for row, i in zip(found, exact, strict=True)])
    assert recall >= 0.98
    assert await gallery.remove("wanted", "s000005") == 1
    assert not files_holding(edge.directory, templates[5])
    await gallery.enrol("wanted", [reference("s000006", 0, templates[5])])
    assert not files_holding(edge.directory, templates[6])
    assert await gallery.count("wanted") == 3999
    await gallery.close()


async def test_a_removal_cut_short_is_finished_by_asking_again(edge):
    settings = replace(edge, exact_up_to=500, dimension=16)  # more than that is rewritten by another process
    templates = unit_templates(1500, dimension=16)
    gallery = await filled(settings, templates)
    removing = asyncio.create_task(gallery.remove("wanted", "s000005"))
    while not list(edge.directory.glob("*.building")):
        await asyncio.sleep(0)
    removing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await removing
    assert files_holding(edge.directory, templates[5])
    assert await gallery.remove("wanted", "s000005") == 0
    assert not files_holding(edge.directory, templates[5])
    assert await gallery.count("wanted") == 1499
    await gallery.close()


async def test_a_removal_cut_short_by_death_is_finished_when_the_directory_is_opened(edge):
    templates = unit_templates(300)
    await (await filled(edge, templates)).close()
    dying = """
import asyncio, os, signal, sys
from pathlib import Path
import libs.gallery.edge as edge
from libs.gallery import GallerySettings
edge.rewrite_shard = lambda shard: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(edge.EdgeGallery(GallerySettings("sface-1", 128, Path(sys.argv[1]))).remove("wanted", "s000005"))
"""
    ended = subprocess.run([sys.executable, "-c", dying, str(edge.directory)], check=False)
    assert ended.returncode == -9
    assert files_holding(edge.directory, templates[5])
    gallery = open_gallery(edge)
    assert not files_holding(edge.directory, templates[5])
    assert await gallery.count("wanted") == 299
    await gallery.close()


# The server: what goes wrong with servers


async def test_a_server_that_is_down_means_try_again_later():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    gallery = open_gallery(GallerySettings("sface-1", D, url=f"http://127.0.0.1:{port}"))
    for call in (
        gallery.create("wanted"),
        gallery.enrol("wanted", one_each(unit_templates(1))),
        gallery.search(["wanted"], unit_templates(1), 1),
    ):
        with pytest.raises(TransientError, match="does not answer"):
            await call
    await gallery.close()


async def test_a_wrong_key_is_for_a_person_to_mend(tmp_path):
    with qdrant_peer(tmp_path, api_key="right") as url:
        wrong = open_gallery(GallerySettings("sface-1", D, url=url, api_key="wrong"))
        with pytest.raises(UserError, match="refuses our key"):
            await wrong.create("wanted")
        await wrong.close()
        right = open_gallery(GallerySettings("sface-1", D, url=url, api_key="right"))
        await right.create("wanted")
        await right.close()


async def test_a_server_collection_of_another_dimension_is_refused(peer_url):
    version = f"v-{uuid.uuid4()}"
    first = open_gallery(GallerySettings(version, D, url=peer_url))
    await first.create("wanted")
    second = open_gallery(GallerySettings(version, 64, url=peer_url))
    with pytest.raises(UserError, match=re.escape("holds 128 components a template, not 64")):
        await second.create("wanted")
    await first.drop("wanted")
    await first.close()
    await second.close()


async def test_something_that_is_no_address_is_refused():
    with pytest.raises(UserError, match="no address of a Qdrant server"):
        open_gallery(GallerySettings("sface-1", D, url="qdrant server"))
