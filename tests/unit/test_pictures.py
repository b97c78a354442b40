"""The stars of the camera example."""

from examples.pictures import star_field


def test_stars_stay_where_they_are_and_grow_with_the_exposure():
    def brightest(seconds):
        pixels = star_field(100, 80, seconds, stars=3)
        assert len(pixels) == 100 * 80
        return max(pixels), max(range(len(pixels)), key=pixels.__getitem__)

    faint, position = brightest(1)
    bright, same = brightest(4)
    assert bright > faint > 1000
    assert position == same


def test_a_long_exposure_is_overexposed_and_not_an_error():
    assert max(star_field(40, 40, 10_000)) == 65535
