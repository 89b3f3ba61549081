"""ingest: one camera actor a camera: decode, ask where the faces are, track, keep the best shots."""
