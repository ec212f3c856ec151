"""What goes with a bundle for people and auditors: card, bill of materials, provenance, licences, needs of a box.

All of it is content: it follows from recipe, sets, model, judged figures and the versions of what made the graphs, so
the same inputs give the same papers. What belongs to the machine or the day (latencies, memory, processor) stays in the
bundle's records.
"""
