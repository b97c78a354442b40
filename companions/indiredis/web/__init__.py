"""What the page over redis is made of."""
