"""Releases: what boxes may install, signed, as files that any static server can give out.

::

    metadata/    N.root.json, N.targets.json, N.releases.json, N.snapshot.json, timestamp.json
    targets/     NAME/VERSION/DIGEST.manifest.json of every bundle that was ever released
    blobs/       ab/abcd…: every file of these bundles, by its SHA-256
    plans/       DEVICE.json, what one device should run
"""
