"""The report of a deployment: its figures, what they do not tell, its pictures, and its files."""
