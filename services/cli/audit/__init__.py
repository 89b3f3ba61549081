"""`watchline audit`: the chain of what was done, verified, exported and read."""
