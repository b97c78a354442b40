"""What a server sent, written to a file and served again; the reference page on recordings describes the format."""
