"""Images for display: FITS files are read, stretched and turned into PNG files, with the standard library."""
