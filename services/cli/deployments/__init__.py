"""`watchline deployment`: drafts, acts on deployments, and how they are shown."""
