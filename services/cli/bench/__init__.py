"""`watchline bench`: the pipeline beside the best one process can do and beside a naive loop, in one run."""
