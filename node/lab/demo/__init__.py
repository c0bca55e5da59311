"""`hansa demo`: institutions on one machine train on real data, compared with pooled training."""
