"""`watchline officer` and `watchline keys`: who may do what, and the keys with which they sign."""
