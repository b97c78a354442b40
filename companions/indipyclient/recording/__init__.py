"""What a server said, written to a file and served again: see the reference page on recordings for the form."""
