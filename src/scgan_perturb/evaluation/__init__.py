"""What `sp.tl.evaluate` computes: methods beside each other, as a table, and its verdict in words."""
