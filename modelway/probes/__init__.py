"""Ways in which a good-looking model can be dishonest, each tried on the rows it was made from."""
