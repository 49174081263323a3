"""P3M: the N-body teacher."""
