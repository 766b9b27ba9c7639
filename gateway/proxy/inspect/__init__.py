"""What the data plane reports about itself on request: status, explanations."""
