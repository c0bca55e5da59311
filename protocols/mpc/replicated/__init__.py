"""Replicated sharing among three, with an honest majority; any number of further input parties."""
