"""The gallery: pictures of one folder, kept in step with it, ready to be searched."""
