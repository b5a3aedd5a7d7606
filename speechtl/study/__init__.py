"""Studies before and after training: whether transfer pays, how much data is enough, what layers respond to."""
