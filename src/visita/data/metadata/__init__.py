"""What is written about a picture, in its file and beside it: date, camera, place, words."""
