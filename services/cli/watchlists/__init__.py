"""`watchline watchlist`: lists, who is on them, and how they come onto them."""
