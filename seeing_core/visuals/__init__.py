"""Pictures for people: previews, plots, contact sheets."""
