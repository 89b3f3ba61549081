"""detect: answers where the faces are in a frame."""
