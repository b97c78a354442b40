"""Stands in for `gsc`, the search in a star catalogue which the camera of libindi starts; the stars are made up.

It is called like that: `gsc -c RA DEC -r ARCMINUTES -m BRIGHT FAINT -n MOST`, and prints one line for each star.
"""

import math
import random
import sys

STARS_A_DEGREE = 150  # in a square degree
BRIGHTEST, FAINTEST = 3.0, 9.0


def stars(ra: float, dec: float, radius: float) -> list[tuple[float, float, float]]:
    """Right ascension, declination (degrees) and magnitude of all stars about a place: always the same ones."""
    found = []
    narrow = max(0.02, math.cos(math.radians(dec)))
    for row in range(math.floor(dec - radius), math.floor(dec + radius) + 1):
        for column in range(math.floor(ra - radius / narrow), math.floor(ra + radius / narrow) + 1):
            chance = random.Random(f"{column % 360} {row}")
            for _ in range(round(STARS_A_DEGREE * narrow)):
                east, north = column + chance.random(), row + chance.random()
                magnitude = BRIGHTEST + (FAINTEST - BRIGHTEST) * chance.random() ** 0.5
                if math.hypot((east - ra) * narrow, north - dec) < radius:
                    found.append((east % 360, north, magnitude))
    return found


def main(words: list[str]) -> None:
    at = words.index("-c")
    ra, dec = float(words[at + 1]), float(words[at + 2])
    radius = float(words[words.index("-r") + 1]) / 60
    for number, (east, north, magnitude) in enumerate(stars(ra, dec, radius)):
        sys.stdout.write(f"{number:010d} {east:10.5f} {north:+10.5f} 0.2 {magnitude:5.2f} 0.40 1 0 +000 N. 1.0 10\n")


if __name__ == "__main__":
    main(sys.argv[1:])
