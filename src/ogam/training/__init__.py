"""Making models. A run can be stopped, killed and resumed, and ends in a folder an engine serves.

Knows no gateway and no server; torch is imported inside functions, never at import.
"""
