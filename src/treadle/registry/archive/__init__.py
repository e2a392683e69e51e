"""A version as one file that another Treadle verifies and takes in."""
