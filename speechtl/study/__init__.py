"""What one asks before and after a training: is transfer worth it, how much data is enough, what do the layers respond to."""
