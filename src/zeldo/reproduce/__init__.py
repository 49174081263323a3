"""Published results from this project's own runs: one file a paper, with what they share beside it."""
