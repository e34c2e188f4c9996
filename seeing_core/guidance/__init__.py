"""The aligner: the sampling loop, its settings, and the loss that guides it."""
