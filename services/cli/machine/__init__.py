"""Watchline on one machine: its settings, its data, its programs and its cameras (`watchline up`)."""
