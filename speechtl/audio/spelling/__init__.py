"""A wake word from its spelling: takes of many synthesised people, words that sound like it, and default negatives."""
