"""Policy profiles: those that ship with the product, and how they are read."""
