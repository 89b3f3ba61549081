"""Ctrl-C while the modules of the command line are loading, or just after: no traceback, and our exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
WHILE_LOADING = """
import os, signal, sys, types
from services.cli.__main__ import main

class Collected:
    def __del__(self):  # from which no exception comes out, as from a callback of the import system
        os.kill(os.getpid(), signal.SIGINT)

def interrupted(name):
    Collected()
    return lambda: 0  # the command, which would run all the same

app = types.ModuleType("services.cli.app")
app.__getattr__ = interrupted
sys.modules["services.cli.app"] = app
sys.exit(main())
"""
WHILE_A_CLASS_IS_MADE = """
import sys, types
from services.cli.__main__ import main

def run():
    try:
        exec("raise KeyboardInterrupt")  # as where a dataclass is being made
    except KeyboardInterrupt:
        return 130

sys.modules["services.cli.app"] = types.ModuleType("services.cli.app")
sys.modules["services.cli.app"].run = run
sys.exit(main())
"""
WHILE_IT_IS_TOLD = """
import os, signal, sys, types
from services.cli.__main__ import main

def run():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)  # a person who is in a hurry, while "stopped" is being printed

sys.modules["services.cli.app"] = types.ModuleType("services.cli.app")
sys.modules["services.cli.app"].run = run
sys.exit(main())
"""
PROGRAMS = {"loading": WHILE_LOADING, "making a class": WHILE_A_CLASS_IS_MADE, "being told": WHILE_IT_IS_TOLD}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_ctrl_c_ends_with_our_exit_code_and_not_by_the_signal_nor_unheard(tmp_path, program):
    (tmp_path / "entry.py").write_text(program)
    path = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}

    done = subprocess.run(
        [sys.executable, "-m", "entry"], check=False, cwd=tmp_path, env=path, capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (130, "")


def test_a_program_that_was_told_to_ignore_ctrl_c_does(tmp_path):
    (tmp_path / "entry.py").write_text(WHILE_LOADING)
    path = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    ignoring = f"trap '' INT; exec {sys.executable} -m entry"

    done = subprocess.run(
        ["/bin/sh", "-c", ignoring], check=False, cwd=tmp_path, env=path, capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")
