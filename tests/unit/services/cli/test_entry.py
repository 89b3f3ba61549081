from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
INTERRUPTED_WHILE_LOADING = """
import sys, types
from services.cli.__main__ import main

def interrupted(name):
    exec("raise KeyboardInterrupt")  # as where a dataclass is being made

app = types.ModuleType("services.cli.app")
app.__getattr__ = interrupted
sys.modules["services.cli.app"] = app
sys.exit(main())
"""


def test_ctrl_c_while_a_class_is_being_made_ends_with_our_exit_code_and_not_by_the_signal(tmp_path):
    (tmp_path / "entry.py").write_text(INTERRUPTED_WHILE_LOADING)
    path = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}

    done = subprocess.run(
        [sys.executable, "-m", "entry"], check=False, cwd=tmp_path, env=path, capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (130, "")
