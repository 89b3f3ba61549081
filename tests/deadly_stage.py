"""A stage that dies of the first message it handles, without a word: `python -m tests.deadly_stage URL MAX_DELIVER`.

It writes the number of the sample it died of, and exits with code 9.
"""

import asyncio
import os
import sys

import structlog

from libs.actor import Actor, Stage
from libs.bus import connect
from libs.settings import NatsSettings, ServiceSettings
from proto import subjects
from proto.messages import Probe


async def dies(probe):
    os.write(1, str(probe.sample).encode())
    os._exit(9)


async def main(url, max_deliver):
    log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))
    settings = ServiceSettings(ack_wait_s=0.4, max_deliver=max_deliver)
    async with connect(NatsSettings(url=url), "deadly", log) as bus:
        await Actor(Stage("match", subjects.PROBES, Probe, dies), bus, settings, log).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
