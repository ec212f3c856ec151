"""Health of the box: one small class per check; ``table.py`` names them all."""
