"""Speech made by the program."""
