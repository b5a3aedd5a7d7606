"""Hours of recordings to mine: heard one at a time between the rounds of a training, of which only the hardest minutes stay in memory."""
