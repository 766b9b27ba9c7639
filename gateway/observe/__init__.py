"""What happened, told to people and machines: sinks, and the layer that feeds them."""
