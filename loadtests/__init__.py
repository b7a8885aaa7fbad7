"""Offer load to a model server and hold it against its SLO. Importing this starts nothing."""
