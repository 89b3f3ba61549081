"""One folder a program: ingest, detect, embed, match, alert, and the command line that starts them."""
