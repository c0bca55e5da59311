"""`hansa bench`: what is measured (``catalogue``), how each is done (``links``, ``operators``, ``rows``), and between whom."""
