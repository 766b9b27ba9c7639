"""The operations of superusers (`service`), without HTTP."""
