"""Previews of images, by the standard library."""
