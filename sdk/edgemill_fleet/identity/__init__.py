"""Who is who: the fleet's own CA, codes that let boxes in, and tokens of people."""
