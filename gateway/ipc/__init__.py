"""The interface of a data plane, and the channel over which the control process uses that of a worker."""
