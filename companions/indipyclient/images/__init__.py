"""Images as people see them: FITS files read, stretched and made PNG files, by the standard library."""
