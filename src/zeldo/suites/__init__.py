"""Many universes: their tasks, who makes which, and what came of them."""
