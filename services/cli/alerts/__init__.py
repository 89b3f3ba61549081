"""`watchline alerts`: alerts as they happen, and what people decide about them."""
