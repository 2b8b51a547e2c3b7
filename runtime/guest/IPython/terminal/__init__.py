"""Old places of what libraries import."""
