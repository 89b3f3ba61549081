"""match: owns the watch lists, searches them for probes, and enrols references."""
