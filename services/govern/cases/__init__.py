"""Alerts in the hands of people: opened, decided, escalated, told."""
