"""What superusers may do (`service`), without HTTP."""
