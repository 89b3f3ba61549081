"""The demo: what it shows, what it must come to, and what it proves at its end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape

from libs.assets import AssetStore
from libs.chain import Verdict
from services.cli.audit.desk import verify_bus
from services.cli.deployments.report.files import write_deployment_report
from services.cli.trials.evaluation import Evaluation
from services.cli.trials.outcome import Outcome
from services.cli.trials.replay import ReplayOptions

REFERENCE = "single_face.jpg"
SUBJECT = "subject-1"
CAMERAS = {"entrance": "single_face.mp4", "plaza": "WolfgangLanger_Pexels.mp4", "corridor": "no_face.mp4"}
"""The person of the reference; a person on no list; nobody."""
ALERTS = {"entrance": 1, "plaza": 0, "corridor": 0}
"""How many alerts each camera must raise."""
ASSETS = (REFERENCE, *CAMERAS.values())


@contextmanager
def demo_options(store: AssetStore) -> Iterator[ReplayOptions]:
    """The demo as a replay; the folder of references lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix="watchline-demo-") as folder:
        shutil.copy(store.path(REFERENCE), Path(folder) / f"{SUBJECT}.jpg")
        sources = {camera: str(store.path(clip)) for camera, clip in CAMERAS.items()}
        yield ReplayOptions(references=Path(folder), sources=sources)


def is_as_expected(outcome: Outcome) -> bool:
    """Whether the right camera raised its one alert for the right subject, and the others none."""
    raised = {name: camera.alerts for name, camera in outcome.cameras.items()}
    return raised == ALERTS and [alert.subject for alert in outcome.alerts] == [SUBJECT]


@dataclass
class Ending:
    """What the demo writes and proves when its cameras have ended; the report of its deployment goes to `folder`."""

    folder: Path
    written: list[Path] = field(default_factory=list)
    verdict: Verdict | None = None
    """On the audit, after all was purged."""

    async def report(self, evaluation: Evaluation, deployment: str) -> None:
        """Writes the report of the deployment. Raises `TransientError`, `AskError`, `UserError`."""
        self.written = await write_deployment_report(evaluation.client("commander"), deployment, self.folder)

    async def verify(self, evaluation: Evaluation) -> None:
        """Verifies the audit from its first entry on. Raises `TransientError`."""
        self.verdict = await verify_bus(evaluation.bus, evaluation.stack.public_key)

    def is_whole(self) -> bool:
        """Whether the report was written and the audit is whole."""
        return bool(self.written) and self.verdict is not None and self.verdict.whole

    def lines(self, outcome: Outcome) -> Iterator[str]:
        """What there is to say of it."""
        for path in self.written[:1]:
            yield f"report of the deployment: {path}"
        if not outcome.left_behind:
            yield f"{outcome.deployment} has ended: its list is destroyed, its alerts and portraits are purged"
        if self.verdict is not None and self.verdict.whole:
            yield f"the audit verifies: {self.verdict.entries:,} entries, each signed, each naming the one before it"
        elif self.verdict is not None:
            yield from (f"[red]the audit does not verify:[/] {escape(found.says)}" for found in self.verdict.breaks)
