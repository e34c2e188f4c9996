"""Measures of how well sound and picture fit, and of how real they are: pure functions, one idea a file."""
