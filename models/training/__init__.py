"""Training of the networks; torch lives here and in the network modules only."""
