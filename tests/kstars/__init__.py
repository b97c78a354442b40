"""A session of KStars and its Ekos with simulated instruments: `python -m tests.kstars`."""
