"""The vendors' own protocols, served to their own SDKs.

A folder a vendor: ``wire`` is what travels (JSON types, each with the vendor's page),
``convert`` turns it into Ogam's values and back, errors too (pure functions), ``routes`` is the
table of what is answered. :mod:`ogam.protocols.serving` is what all of them stand on.
"""
