"""Updates: what a signed plan names is brought here, proved, tried beside what judges now, and kept or given up.

::

    state/trust/                metadata that was believed last
    state/blobs/                files of bundles, by SHA-256, shared between releases
    state/slots/NAME/           bundles/VERSION-DIGEST/, and slots.json: which is active, on trial, previous
    state/updates.json          how far each update is, what became of the last ones, which plan was believed

An agent always starts on the *active* bundle, and takes up the one on trial as it would any swap: while parts are
judged, with the old engine warm. So nothing new can keep a box from starting. Whether it stays, the ledger says.
"""
