"""The command line: runs one service, or all of them on one machine."""
