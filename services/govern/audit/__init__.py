"""The audit: the chain, what may stand in it, and what others may have written there."""
