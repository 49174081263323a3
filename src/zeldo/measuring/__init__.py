"""What a run costs: time, memory, energy, and the machine it ran on."""
