"""Reports what happened, to people and machines: sinks, and the layer that feeds them."""
