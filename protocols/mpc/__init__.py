"""Multi-party computation: sessions over links, shares, and the engines algorithms are written against."""
