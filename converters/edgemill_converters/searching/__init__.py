"""The search over quantization settings: many INT8 forms of one model per target, and those that nothing beats.

::

    ask (optuna) ─ transform (executor: processes here, or a Dask cluster) ─ run and measure (here, alone) ─┐
     ▲                                                                                                     │
     └──────────────────────── trials, in batches of a fixed size ◀── notes, durable ◀─────────────────────┘

Rules of this room
- What is asked next is a pure function of the seed and of the trials before (``asking``). So the notes are the whole
  state: a search that was killed asks the same again, and what is noted is not run again.
- Transforming is a pure function of contents (``transforming``): it reads no path that another machine lacks, and gives
  the same bytes wherever it runs.
- Nothing is measured while anything transforms.
- The judge's data have no part in it. What is found goes on as candidates, judged like any other.
"""
