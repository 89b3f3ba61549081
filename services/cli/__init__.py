"""The command line: runs one service, or all of them on one machine."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells say it."""
