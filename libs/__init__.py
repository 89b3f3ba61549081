"""Machinery without business rules: what every service is built from."""
