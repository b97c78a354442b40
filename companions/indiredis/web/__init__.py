"""The parts of the page over redis."""
