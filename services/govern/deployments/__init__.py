"""Deployments: what officers do to them, what stands against it, and what follows from it."""
