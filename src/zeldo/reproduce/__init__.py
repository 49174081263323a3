"""Published results from this project's own runs: one module for each paper, and the code that they share."""
