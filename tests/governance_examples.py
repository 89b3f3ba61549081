"""One example of every record, act and answer of governance: see `tests/examples.py`."""

from proto import audit, cases, counts, deployments, sealed, watchlists
from proto.messages import EnrolReply
from proto.requests import alerts as alert_asks
from proto.requests import audit as audit_asks
from proto.requests import deployments as deployment_asks
from proto.requests import listing
from proto.requests import watchlists as list_asks

NOW = 1_700_000_000.0
DRAFT = deployments.DeploymentDraft(
    deployment="station-north",
    profile="uk-police",
    purpose="finding two missing children",
    legal_basis="common law policing powers; DPA 2018, part 3",
    strict_necessity="no other way to find them in time",
    alternatives="officers with photographs: too few for eleven exits",
    location="Station North, main hall",
    cameras={
        "gate-1": deployments.Zone(polygon=((0.25, 0.25), (0.75, 0.25), (0.75, 1.0), (0.25, 1.0)), min_face_px=40.0),
        "gate-2": deployments.Zone(),
    },
    watch_lists=("missing", "wanted"),
    seed_lists=("blue",),
    threshold=0.5,
    cooldown_s=30.0,
    starts_at=1_600_000_000.0,
    ends_at=1_800_000_000.0,
    dpia=deployments.Document(id="DPIA-2023-7", expires_at=1_800_000_000.0),
    policy=deployments.Document(id="APD-2.0", expires_at=1_800_000_000.0),
    signage_confirmed=True,
    complaints_contact="complaints@police.example",
)
DEED = audit.Deed(who="a-jones", verb="draft", at=NOW, origin="desk-1", reason="as agreed", act="a1" * 32)
DEPLOYMENT = deployments.DeploymentRecord(
    draft=DRAFT,
    record_version=3,
    state="armed",
    deeds=(
        DEED,
        DEED.model_copy(update={"who": "b-smith", "verb": "authorise"}),
        DEED.model_copy(update={"who": "c-brown", "verb": "arm"}),
    ),
    threshold=0.5,
    armed_at=NOW,
)
LIST_FORM = watchlists.WatchListForm(
    watch_list="wanted",
    profile="uk-police",
    purpose="arrest warrants of the county",
    owner="custody unit",
    category="wanted on warrant",
    response="red",
    lawful_basis="DPA 2018, part 3",
    criteria="a warrant for an indictable offence, not older than a year",
    expires_at=NOW + 86_400,
)
WATCH_LIST = watchlists.WatchListRecord(
    form=LIST_FORM,
    record_version=2,
    state="ready",
    deeds=(DEED.model_copy(update={"verb": "create"}),),
    created_at=NOW,
    built_at=NOW + 60,
    template_version="sface-2021dec",
    subjects=2,
    references=3,
    inputs_sha256="b2" * 32,
)
ENTRY_FORM = watchlists.EntryForm(
    reason="warrant 17/2023",
    requester="Inspector 4711",
    source="custody photograph",
    lawful_basis="PACE 1984, s. 64A",
    image_date="2023-05-01",
    expires_at=NOW + 86_400,
)
ENTRY = watchlists.EntryRecord(
    watch_list="wanted",
    subject="S-0001",
    images=(
        watchlists.EnrolledImage(
            reference="front", sha256="c3" * 32, quality=0.75, enrolled_at=NOW, import_id="0123456789abcdef"
        ),
    ),
    form=ENTRY_FORM,
)
DECISION = cases.Decision(officer="d-green", verdict="confirmed", reason="same scar", at=NOW + 20)
CASE = cases.Case(
    alert="a1b2c3",
    deployment="station-north",
    record_version=3,
    camera="gate-1",
    watch_list="wanted",
    subject="S-0001",
    response="red",
    score=0.5625,
    threshold=0.5,
    searched=10_000,
    captured_at=NOW + 0.25,
    raised_at=NOW + 0.5,
    status="confirmed",
    decisions=(DECISION,),
    outcome=cases.Outcome(officer="e-white", engagement="confirmed_true", reason="identified", at=NOW + 400),
    portrait_sha256="d4" * 32,
)
PASSAGE = counts.Passage(deployment="station-north", camera="gate-1", subject="blue-1", at=NOW, noted_by="d-green")
FACES = counts.FaceCount(
    deployment="station-north",
    camera="gate-1",
    reading="gate-1-0c8f-",
    live=True,
    minutes={"28333333": 17, "28333334": 4},
    updated_at=NOW + 70,
)
SEARCHES = counts.SearchCount(
    deployment="station-north",
    camera="gate-1",
    counter="match-7f",
    least_searched=9_990,
    most_searched=10_000,
    histogram={"22": 40, "-4": 2},
    updated_at=NOW + 70,
)
ENTRY_OF_AUDIT = audit.AuditEntry(
    sequence=2,
    previous=bytes(range(32)),
    id="deployment.station-north.3",
    event="deployment.armed",
    at=NOW,
    deed=DEED,
    deployment="station-north",
    record_version=3,
    details={"threshold": 0.5, "references": 3, "cameras": "gate-1 gate-2"},
)
REFERENCE_IMAGE = list_asks.ReferenceImage(
    subject="S-0001", reference="front", image=b"\x89PNG an image", entry=ENTRY_FORM
)
_ON_ALERT = {"deployment": "station-north", "alert": "a1b2c3"}

GOVERNANCE_EXAMPLES = (
    sealed.Sealed(holds="warrant", signer="govern", body=b"\x81 a body", signature=bytes(range(64))),
    sealed.Act(
        officer="a-jones",
        at=NOW,
        nonce=bytes(range(16)),
        origin="desk-1",
        holds="adjudicate_request",
        request=b"\x81 a request",
    ),
    DEPLOYMENT,
    deployments.Warrant(
        deployment="station-north",
        record_version=3,
        state="armed",
        purpose="two missing children",
        cameras=("gate-1", "gate-2"),
        watch_lists=("missing", "wanted"),
        threshold=0.5,
        floor=0.25,
        cooldown_s=30.0,
        starts_at=1_600_000_000.0,
        ends_at=1_800_000_000.0,
    ),
    WATCH_LIST,
    ENTRY,
    watchlists.NameRecord(name="nobody in particular"),
    CASE,
    PASSAGE,
    FACES,
    SEARCHES,
    ENTRY_OF_AUDIT,
    audit.AuditHead(sequence=2, sha256="e5" * 32, at=NOW),
    deployment_asks.DraftRequest(draft=DRAFT),
    deployment_asks.TransitionRequest(verb="arm", deployment="station-north", record_version=2, reason="in position"),
    deployment_asks.AmendRequest(
        deployment="station-north", record_version=3, reason="too many alerts", threshold=0.55
    ),
    deployment_asks.DeploymentRequest(deployment="station-north"),
    deployment_asks.DeploymentReply(record=DEPLOYMENT, obstacles=("list wanted is 25 h old: import it again",)),
    listing.ListRequest(of="station-north"),
    deployment_asks.DeploymentsReply(records=(DEPLOYMENT,)),
    deployment_asks.FiguresRequest(deployment="station-north", after="station-north.a1b2c3"),
    deployment_asks.FiguresReply(
        record=DEPLOYMENT,
        stamp="",
        lists=(WATCH_LIST,),
        cases=(CASE,),
        passages=(PASSAGE,),
        faces=(FACES,),
        searches=(SEARCHES,),
        audit_entries=2,
        audit_head="e5" * 32,
    ),
    alert_asks.AdjudicateRequest(**_ON_ALERT, verdict="confirmed", reason="same scar"),
    alert_asks.EngagementRequest(**_ON_ALERT, engagement="confirmed_true", reason="identified"),
    alert_asks.PassageRequest(deployment="station-north", camera="gate-1", subject="blue-1", at=NOW),
    alert_asks.CaseRequest(**_ON_ALERT),
    alert_asks.CaseReply(case=CASE),
    alert_asks.CasesReply(cases=(CASE,)),
    alert_asks.PassageReply(passage=PASSAGE),
    cases.Intervention(
        **_ON_ALERT,
        record_version=3,
        camera="gate-1",
        watch_list="wanted",
        subject="S-0001",
        response="red",
        captured_at=NOW + 0.25,
        confirmed_by=("d-green",),
        confirmed_at=NOW + 20,
    ),
    cases.Adjudication(**_ON_ALERT, event="decision", status="confirmed", officer="d-green", at=NOW + 20),
    list_asks.CreateListRequest(form=LIST_FORM),
    list_asks.ImportRequest(watch_list="wanted", step="begin", manifest_sha256="f6" * 32, images=3),
    REFERENCE_IMAGE,
    list_asks.EnrolEntryRequest(watch_list="wanted", **dict(REFERENCE_IMAGE)),
    list_asks.EnrolImagesRequest(watch_list="wanted", import_id="f00d-1", images=(REFERENCE_IMAGE,)),
    list_asks.EnrolImagesReply(
        images=(EnrolReply(watch_list="wanted", subject="S-0001", reference="front", enrolled=True, already=True),)
    ),
    list_asks.EnrolmentNotice(watch_list="wanted", subject="S-0001", sha256="c3" * 32, reason="warrant 17/2023"),
    list_asks.RemoveEntryRequest(watch_list="wanted", subject="S-0001", reason="warrant withdrawn"),
    list_asks.ExpireListRequest(watch_list="wanted", expires_at=NOW + 3600, reason="shorter"),
    list_asks.DestroyListRequest(watch_list="wanted", reason="the deployment is over"),
    list_asks.ListReply(record=WATCH_LIST),
    list_asks.ListsReply(records=(WATCH_LIST,)),
    list_asks.EntriesReply(record=WATCH_LIST, entries=(ENTRY,)),
    list_asks.EntriesRequest(watch_list="wanted"),
    list_asks.DuplicatesRequest(watch_list="wanted", threshold=0.5),
    list_asks.PossibleDuplicate(
        watch_list="wanted", subject="S-0001", other_list="missing", other_subject="M-7", score=0.625
    ),
    list_asks.DuplicatesReply(
        pairs=(
            list_asks.PossibleDuplicate(
                watch_list="wanted", subject="S-0001", other_list="missing", other_subject="M-7", score=0.625
            ),
        )
    ),
    audit_asks.AuditRequest(id="watchlist.wanted.2", event="watchlist.imported", deed=DEED, watch_list="wanted"),
    audit_asks.AuditReply(entry=ENTRY_OF_AUDIT),
)
