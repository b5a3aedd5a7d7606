"""Record takes of a word and sound without it: checks, comparison of takes, the folder that keeps them, and the recorder."""
