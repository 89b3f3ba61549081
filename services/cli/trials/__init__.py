"""`watchline demo` and `replay`: evaluations on recordings, from their first act to their report."""
