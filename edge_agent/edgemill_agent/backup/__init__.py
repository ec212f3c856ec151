"""Take along what makes a box this box, and go on from it on another one.

::

    "edgemill-backup 1\\n"
    how it is sealed: one line of JSON
    pieces of 1 MiB, each sealed (see ``sealing``), which together are
        length of the contents (4 bytes), the contents as JSON (see ``archive``), and every file, one behind the other

There are files in it and nothing else: no links, no compression, no names that lead outside.
"""
