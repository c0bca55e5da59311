"""hansa: a league of equals for machine learning on data that may not move."""
