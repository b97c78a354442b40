"""The camera's images: stars with noise."""

import random
from array import array
from math import exp


def star_field(width, height, seconds, seed=1, stars=60):
    """Brightness of `width * height` pixels, row by row, as 16-bit numbers.

    The same `seed` gives the same stars, with different noise. A longer exposure gives brighter stars.
    """
    # Drawing from a short list is much faster than computing random noise for each pixel.
    noise = [max(0, round(random.gauss(800, 30))) for _ in range(1024)]
    pixels = array("H", random.choices(noise, k=width * height))
    sky = random.Random(seed)
    for _ in range(stars):
        x, y = sky.uniform(0, width), sky.uniform(0, height)
        peak = seconds * 500 / sky.uniform(0.05, 1.0)  # few bright stars, many faint ones
        radius = 1.6
        for row in range(max(0, int(y) - 8), min(height, int(y) + 9)):
            for column in range(max(0, int(x) - 8), min(width, int(x) + 9)):
                light = peak * exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * radius**2))
                position = row * width + column
                pixels[position] = min(65535, pixels[position] + int(light))
    return pixels
