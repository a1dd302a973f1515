"""`make images`: older versions of Linnet, from the project's own history, for the image catalogue."""
