"""The calls that most people need; each is a few lines over the rooms."""
