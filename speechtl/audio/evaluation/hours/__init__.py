"""Hours of recordings without the word: heard in parts, by several processes or machines, in little memory, and resumable."""
