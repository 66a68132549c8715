"""The seven things Ogam does: for each a Request, a Result and the Protocol of an engine."""
