"""What may be kept no longer: when it goes, and the proof that it is gone."""
