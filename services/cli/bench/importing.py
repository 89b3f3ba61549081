"""How fast a folder of references is imported, beside the best that one process can do with the same models.

The limit does what an import must do to an image and nothing else: read it, find its face, cut it and its portrait, see
how good it is, embed it and its mirror image, with a thread a core. The import is the whole stack: signed acts, the
bus, records, portraits, a gallery that is on the disk when it says so, and the audit.

Both take turns of some twenty seconds, and who comes first changes, so that a machine that grows slower or faster
meanwhile does so for both.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from libs import log
from libs.errors import PermanentError
from libs.images import decode_rgb, use_one_thread
from libs.log import Log
from libs.models import open_session
from libs.settings import InferenceSettings, LogSettings, load
from services.cli.bench.pipeline import THIS_PROGRAM
from services.cli.bench.usage import Processes, Usage, cpu_per_frame
from services.cli.machine.stack import StackOptions
from services.cli.trials.evaluation import Evaluation, list_form, open_evaluation
from services.cli.watchlists.importing import import_images
from services.cli.watchlists.manifest import entry_form
from services.cli.watchlists.reference_images import ImageFile, folder_images
from services.detect.settings import DetectSettings
from services.detect.yunet import YuNet
from services.embed.settings import EmbedSettings
from services.embed.sface import SFace
from services.match.enrolment import cut
from services.match.settings import EnrolmentSettings

WARM_UP = 64
"""Images that are looked at before anything is measured."""
TURN = 1000
"""Images of a turn: the beginning and the end of an import, when not all cores are busy, are a hundredth of it."""
PARTICULARS = {
    "reason": "measurement",
    "requester": "the operator of this machine",
    "source": "a folder of the operator's",
    "lawful_basis": "the images were chosen by the operator, who answers for them",
    "expires": "12h",
}


@dataclass(frozen=True)
class ImportTurn:
    """One turn of both, on the same photos."""

    photos: int
    limit_per_s: float
    import_per_s: float
    enrolled: int
    refused: int
    limit_cpu_s: float
    """A photo, of the one process."""
    import_cpu_s: Mapping[str, float]
    """A photo, by process."""

    @property
    def ratio(self) -> float:
        """How much of the limit the import reaches."""
        return self.import_per_s / self.limit_per_s

    @property
    def cpu_ratio(self) -> float:
        """The same by CPU time, which tells more where other programs keep the cores busy."""
        return self.limit_cpu_s / sum(self.import_cpu_s.values())


@dataclass(frozen=True)
class ImportFigures:
    """What a bench of imports has measured."""

    folder: Path
    photos: int
    turns: tuple[ImportTurn, ...]

    @property
    def ratio(self) -> float:
        """How much of the limit the import reaches: the median of the turns."""
        return median(one.ratio for one in self.turns)

    @property
    def cpu_ratio(self) -> float:
        """The same by CPU time."""
        return median(one.cpu_ratio for one in self.turns)

    @property
    def overall(self) -> float:
        """How long the limit took for all turns together, of what the import took."""
        return sum(one.photos / one.limit_per_s for one in self.turns) / sum(
            one.photos / one.import_per_s for one in self.turns
        )

    def as_json(self) -> dict[str, object]:
        """The figures as `--json` writes them."""
        return {
            "photos": self.photos,
            "ratio": round(self.ratio, 4),
            "cpu_ratio": round(self.cpu_ratio, 4),
            "overall": round(self.overall, 4),
            "turns": [
                {
                    "photos": one.photos,
                    "limit_per_s": round(one.limit_per_s, 2),
                    "import_per_s": round(one.import_per_s, 2),
                    "enrolled": one.enrolled,
                    "refused": one.refused,
                    "limit_cpu_ms": round(one.limit_cpu_s * 1000, 3),
                    "import_cpu_ms": {name: round(cpu * 1000, 3) for name, cpu in one.import_cpu_s.items()},
                }
                for one in self.turns
            ],
        }


class Limit:
    """Detects and embeds in this process, a thread a core."""

    def __init__(self, logger: Log) -> None:
        inference, self._settings = load(InferenceSettings), load(DetectSettings)
        session, _ = open_session(self._settings.model, inference, logger)
        embedder, _ = open_session(load(EmbedSettings).model, inference, logger, inference.max_batch)
        self._yunet, self._sface = YuNet(session), SFace(embedder)
        self._least = load(EnrolmentSettings).min_score

    def run(self, paths: Sequence[Path]) -> int:
        """How many of the images were embedded."""
        use_one_thread()
        with ThreadPoolExecutor(os.cpu_count() or 1, "limit") as pool:
            return sum(pool.map(self._embed, paths))

    def _embed(self, path: Path) -> int:
        try:
            image = decode_rgb(path.read_bytes())
        except PermanentError:
            return 0
        (faces,) = self._yunet.detect([image], self._settings.min_score, self._settings.nms_iou)
        if int((faces.detect_scores >= self._least).sum()) != 1:
            return 0
        face = cut(image, faces.landmarks, faces.boxes, faces.detect_scores)
        return len(self._sface.embed(np.stack([face.chip, face.chip[:, ::-1]]))) // 2


async def run_import_bench(folder: Path, repeats: int, data_dir: Path, tell: Callable[[str], None]) -> ImportFigures:
    """The figures of `repeats` turns of limit and import, on a stack that keeps its data under `data_dir`.

    Raises:
        UserError: there is no image in the folder, or the stack did not start.
    """
    quiet = log.configure(LogSettings(level="error"), THIS_PROGRAM)
    images = folder_images(folder, entry_form(PARTICULARS, time.time()))
    limit = Limit(quiet)
    await asyncio.to_thread(limit.run, [image.path for image in images[:WARM_UP]])
    async with open_evaluation(StackOptions(data_dir), quiet) as evaluation:
        await _import(evaluation, images[:WARM_UP])
        parts = [images[start : start + TURN] for start in range(0, len(images), TURN)] * repeats
        turns = []
        for number, part in enumerate(parts, 1):
            tell(f"turn {number} of {len(parts)}: {len(part)} photos")
            turns.append(await _turn(evaluation, limit, part, limit_first=number % 2 == 1))
    return ImportFigures(folder, len(images), tuple(turns))


async def _turn(evaluation: Evaluation, limit: Limit, images: Sequence[ImageFile], *, limit_first: bool) -> ImportTurn:
    me = Processes({THIS_PROGRAM: os.getpid()})
    early = None if limit_first else await _import(evaluation, images)
    before = me.usage()
    await asyncio.to_thread(limit.run, [image.path for image in images])
    after = me.usage()
    imported = early or await _import(evaluation, images)
    return ImportTurn(
        photos=len(images),
        limit_per_s=len(images) / (after.at_s - before.at_s),
        import_per_s=len(images) / (imported.after.at_s - imported.before.at_s),
        enrolled=imported.enrolled,
        refused=imported.refused,
        limit_cpu_s=cpu_per_frame(before, after, len(images))[THIS_PROGRAM],
        import_cpu_s=cpu_per_frame(imported.before, imported.after, len(images)),
    )


@dataclass(frozen=True)
class _Imported:
    enrolled: int
    refused: int
    before: Usage
    after: Usage


async def _import(evaluation: Evaluation, images: Sequence[ImageFile]) -> _Imported:
    """An import from its first act to the answer to its last, on a list of its own that is destroyed afterwards."""
    pids = {name: program.pid for name, program in evaluation.stack.programs.items()}
    processes = Processes({THIS_PROGRAM: os.getpid(), **{name: pid for name, pid in pids.items() if pid}})
    name = f"replay-{secrets.token_hex(6)}"  # as an evaluation, it is destroyed if this program is killed
    course = evaluation.course(name)
    await course.make_list(list_form(name))
    before = processes.usage()
    result = await import_images(evaluation.client("list_manager"), name, images, lambda _: None)
    after = processes.usage()
    await course.destroy_list()
    return _Imported(result.enrolled, len(result.refused), before, after)


def print_import_figures(figures: ImportFigures, out: Console) -> None:
    """Prints the figures as a table."""
    table = Table(title=f"{figures.folder.name}: {figures.photos} photos", title_justify="left")
    for column in ("turn", "photos", "limit photos/s", "import photos/s", "of the limit", "enrolled", "refused"):
        table.add_column(column, justify="right")
    for number, one in enumerate(figures.turns, 1):
        cells = f"{one.limit_per_s:.1f}", f"{one.import_per_s:.1f}", f"{one.ratio:.2f}"
        table.add_row(str(number), str(one.photos), *cells, str(one.enrolled), str(one.refused))
    out.print(table)
    last = figures.turns[-1]
    spent = ", ".join(
        f"{name} {cpu * 1000:.1f}" for name, cpu in sorted(last.import_cpu_s.items(), key=lambda item: -item[1])
    )
    out.print(f"CPU ms a photo: limit {last.limit_cpu_s * 1000:.1f}; import: {spent}", highlight=False, soft_wrap=True)
    others = f"median of the turns; by CPU time {figures.cpu_ratio:.2f}; all turns together {figures.overall:.2f}"
    out.print(f"the import reaches {figures.ratio:.2f} of the limit ({others})", highlight=False, soft_wrap=True)
